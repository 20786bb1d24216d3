internal import VDriveModel

/// What people steer of the cache. Byte ranges are the disk's, and clamped to it: what brings in or pins takes every
/// page that a range touches, what evicts takes only pages that lie in it whole.
extension Disk {
    /// What of each range is where, exact to the page. From memory and local metadata; the remote is asked only for
    /// nodes of the map that are not here.
    package func residency(of ranges: [Range<UInt64>]) async throws(DiskError) -> [RangeResidency] {
        var answers: [RangeResidency] = []
        for range in ranges {
            let range = range.clamped(to: 0..<geometry.diskBytes)
            var answer = RangeResidency()
            var walk = DataWalk(range, in: cache)
            while true {
                let batch = try await walk.nextBatch()
                if batch.isEmpty { break }
                answer.add(await cache.residency(of: batch))
            }
            answer.unallocatedBytes = UInt64(range.count) - answer.cachedBytes - answer.absentBytes
            answer.pinnedBytes = await cache.pinnedBytes(in: range)
            answers.append(answer)
        }
        return answers
    }

    /// Brings ranges in. Room is made as for reads; what cannot be had because all else is dirty or pinned is waited
    /// for a while. Can be cancelled between chunks. A chunk that is damaged on the remote does not keep the others
    /// away.
    ///
    /// - Parameter progress: gets the bytes done so far, one call at a time.
    /// - Throws: `busy` when cancelled, `outOfSpace` when no room came to be, or why a chunk could not be had; what was
    ///   fetched until then stays.
    package func prefetch(
        _ ranges: [Range<UInt64>],
        progress: @Sendable (UInt64) async -> Void
    ) async throws(DiskError) {
        let failure = await withTaskGroup(of: Fetched.self) { group in
            var prefetch = Prefetch()
            for range in ranges where prefetch.failure == nil {
                await fetch(range.clamped(to: 0..<geometry.diskBytes), &group, &prefetch, progress)
            }
            if prefetch.failure != nil { group.cancelAll() }
            while let fetched = await group.next() {
                prefetch.take(fetched)
                await progress(prefetch.done)
            }
            return prefetch.failure ?? prefetch.damage
        }
        if let failure { throw failure }
    }

    private typealias Fetched = (bytes: UInt64, error: DiskError?)

    /// How far a prefetch is.
    private struct Prefetch {
        var done: UInt64 = 0
        var running = 0
        /// Why it ends.
        var failure: DiskError?
        /// Why it will have failed although it goes on.
        var damage: DiskError?

        mutating func take(_ fetched: Fetched) {
            running -= 1
            if let error = fetched.error, error.kind != .corrupt {
                failure = failure ?? error
            } else {
                damage = damage ?? fetched.error
                done += fetched.bytes
            }
        }
    }

    /// Begins to fetch what there is of a range, while some of it and of ranges before it is under way.
    private func fetch(
        _ range: Range<UInt64>,
        _ group: inout TaskGroup<Fetched>,
        _ prefetch: inout Prefetch,
        _ progress: @Sendable (UInt64) async -> Void
    ) async {
        var walk = DataWalk(range, in: cache)
        var nowhere = UInt64(range.count)
        while prefetch.failure == nil {
            if Task.isCancelled {
                prefetch.failure = DiskError(.busy, "The prefetch was cancelled.")
                return
            }
            let next: ChunkPart?
            do throws(DiskError) { next = try await walk.next() } catch {
                prefetch.failure = error
                return
            }
            guard let part = next else { break }
            nowhere -= UInt64(part.bytes.count)
            if prefetch.running == EngineLimits.parallelPrefetches, let fetched = await group.next() {
                prefetch.take(fetched)
                await progress(prefetch.done)
            }
            group.addTask { (UInt64(part.bytes.count), await self.bringIn(part)) }
            prefetch.running += 1
        }
        guard prefetch.failure == nil else { return }
        prefetch.done += nowhere
        await progress(prefetch.done)
    }

    private func bringIn(_ part: ChunkPart) async -> DiskError? {
        do throws(DiskError) {
            try await cache.bringIn(part)
            return nil
        } catch {
            return error
        }
    }

    /// Uploads what is dirty, then drops what of the ranges is neither pinned nor written again meanwhile.
    ///
    /// - Parameter progress: gets the bytes done so far, one call at a time.
    /// - Throws: `busy` when cancelled, and what `sync` throws.
    package func evict(
        _ ranges: [Range<UInt64>],
        progress: @Sendable (UInt64) async -> Void
    ) async throws(DiskError) -> EvictedRanges {
        try await sync()
        var result = EvictedRanges()
        // Each step is a durable commit, and many small files may lie in one chunk: so the pages of many ranges go
        // together.
        var step: [ChunkIndex: PageSet] = [:]
        var done: UInt64 = 0
        for range in ranges {
            let range = range.clamped(to: 0..<geometry.diskBytes)
            var walk = DataWalk(range, in: cache)
            while let part = try await walk.next() {
                if step.count == EngineLimits.evictionChunksMax, step[part.chunk] == nil {
                    result.add(try await evict(step))
                    step = [:]
                    let here = geometry.offset(of: part.chunk) + UInt64(part.bytes.lowerBound)
                    await progress(done + here - range.lowerBound)
                }
                let pages = geometry.pages(coveredBy: part.bytes)
                step[part.chunk, default: PageSet(pageCount: geometry.pagesPerChunk)].insert(pages)
            }
            done += UInt64(range.count)
            if Task.isCancelled { throw CacheActor.evictionCancelled }
        }
        result.add(try await evict(step))
        await progress(done)
        return result
    }

    private func evict(_ step: [ChunkIndex: PageSet]) async throws(DiskError) -> EvictedRanges {
        if Task.isCancelled { throw CacheActor.evictionCancelled }
        return try await cache.evict(step)
    }

    // MARK: Limits

    package var limits: CacheLimits { get async { await cache.limits } }

    /// Changes the limits from now on; lowering evicts down to them in the background.
    ///
    /// - Throws: `refused` when a value is out of its range; `outOfSpace`, with how much is needed, when what is pinned
    ///   would not fit. Nothing is changed then.
    package func setLimits(_ limits: CacheLimits) async throws(DiskError) { try await cache.setLimits(limits) }
}
