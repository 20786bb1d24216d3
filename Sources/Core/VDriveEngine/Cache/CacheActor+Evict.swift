internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// How pages leave the cache: whole chunks, or some pages of a chunk, which is partial from then on.
extension CacheActor {
    /// Ordering rule 2: LMDB forgets, durably, then the holes are punched. The chunks are clean, locked and (unless
    /// unverified) closed by the caller, who also holds the recording lock; afterwards they are open, and unknown or
    /// partial.
    ///
    /// - Throws: when LMDB takes no change; nothing has left then, and the chunks are as closed as before.
    func forgetAndPunch(_ leaving: [Leaving]) async throws(DiskError) {
        if Faults.breaks(.rule2) { try await punchTooEarly(leaving) }
        if Faults.breaks(.rule3Records) { try await recordWithoutSync() }
        try await Faults.at(.evictBeforeForget, failing: .internal)
        var whole: [ChunkIndex] = []
        var partly: [ChunkIndex: PageSet] = [:]
        for one in leaving where recorded.contains(one.chunk) {
            if let pages = one.pages { partly[one.chunk] = pages } else { whole.append(one.chunk) }
        }
        if !whole.isEmpty || !partly.isEmpty { try await bitmap.forget(whole, pages: partly) }
        recorded.subtract(whole)
        let cache = plane.cache
        let holes = leaving.map { (chunk: $0.chunk, stretches: bytes(of: $0)) }
        unpunched.subtract(leaving.filter { $0.pages == nil }.map(\.chunk))
        // LMDB speaks of none: they are gone from here, whether they can be punched or not.
        do throws(Errno) {
            let failed = try await onDisk { () throws(Errno) in
                try Faults.atBlocking(.evictAfterForget)
                var failed: [(chunk: ChunkIndex, error: Errno)] = []
                for hole in holes {
                    do throws(Errno) {
                        for stretch in hole.stretches { try cache.punch(at: stretch.lowerBound, count: stretch.count) }
                    } catch {
                        failed.append((hole.chunk, error))
                    }
                }
                try Faults.atBlocking(.evictAfterPunch)
                return failed
            }
            if let first = failed.first { noteUnpunched(failed.map(\.chunk), first.error) }
        } catch {
            noteUnpunched(leaving.map(\.chunk), error)
        }
        for one in leaving { publish(one) }
    }

    /// The bytes of the disk that leave with it.
    func bytes(of leaving: Leaving) -> [Range<UInt64>] {
        let start = geometry.offset(of: leaving.chunk)
        guard let pages = leaving.pages else { return [start..<start + UInt64(geometry.chunkBytes)] }
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        return pages.runs.map { run in
            start + UInt64(run.lowerBound) * pageBytes..<start + UInt64(run.upperBound) * pageBytes
        }
    }

    private func publish(_ leaving: Leaving) {
        let chunk = leaving.chunk
        let word = plane.table.load(chunk)
        noteLeaving(chunk, word)
        if let pages = leaving.pages {
            let present = presentPages(word).subtracting(pages)
            let slot = word.slot != 0 ? word.slot : takeSlot()
            let none = PageSet(pageCount: geometry.pagesPerChunk)
            plane.pages.reset(slot, chunk: chunk, epoch: Epoch(0), present: present, dirty: none)
            plane.table.update(chunk) { $0.becoming(.partial, dirty: false, slot: slot).closing(false) }
            // What is pinned stays, and comes back to the policy with what is fetched beside it.
            policy.remove(chunk)
            admit(chunk)
        } else {
            // The pins may have changed meanwhile, and the policy with them.
            policy.evicted(chunk)
            changed.remove(chunk)
            plane.table.update(chunk) { $0.becoming(.unknown, dirty: false, slot: 0).closing(false) }
            if word.slot != 0 { freeSlots.append(word.slot) }
        }
    }

    // MARK: All of it

    /// Drops what is clean and not pinned now. What comes in meanwhile stays, so that it ends whatever is read.
    ///
    /// - Parameter progress: gets the bytes done so far, and of how many, one call at a time.
    /// - Returns: bytes given back.
    /// - Throws: `busy` when cancelled; when LMDB takes no change. What has left until then is gone.
    func evictAll(progress: @Sendable (UInt64, UInt64) async -> Void) async throws(DiskError) -> UInt64 {
        var chosen: [ChunkIndex] = []
        while let chunk = policy.next(lastAccess: { lastAccess($0) }, takeUses: { takeUses($0) }) {
            chosen.append(chunk)
        }
        // They may be chosen until their step comes. In the policy's order, for what it remembers of them.
        putBack(chosen)
        chosen += unverified.filter { pins.pages(of: $0) == nil }
        let leaving = chosen.map { chunk in
            (chunk, pages: unverified.contains(chunk) ? geometry.pagesPerChunk : loosePages(chunk) ?? 0)
        }
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        let total = leaving.reduce(0) { $0 + UInt64($1.pages) * pageBytes }
        var result = EvictedRanges()
        var done: UInt64 = 0
        await progress(done, total)
        for start in stride(from: 0, to: leaving.count, by: EngineLimits.evictionChunksMax) {
            if Task.isCancelled { throw Self.evictionCancelled }
            let step = leaving[start..<min(start + EngineLimits.evictionChunksMax, leaving.count)]
            try await evict(step.map(\.0), &result) { chunk, _ in looseAndClean(chunk) }
            wakeRoomWaiters()
            done += step.reduce(0) { $0 + UInt64($1.pages) * pageBytes }
            await progress(done, total)
        }
        return result.evictedBytes
    }

    /// What of a locked chunk may go; nil where that is nothing.
    private func looseAndClean(_ chunk: ChunkIndex) -> Leaving? {
        if unverified.contains(chunk) {
            // What goes in any case need not be checked first.
            return pins.pages(of: chunk) == nil ? Leaving(chunk: chunk, pages: nil) : nil
        }
        let word = plane.table.load(chunk)
        guard word.isResident, !word.isDirty, loosePages(chunk) != nil else { return nil }
        return loosePart(of: chunk, word)
    }

    static let evictionCancelled = DiskError(.busy, "The eviction was cancelled.")

    // MARK: By range

    /// Drops pages, unless they are dirty or pinned: by one commit, except of chunks that somebody works with.
    ///
    /// - Parameter wanted: pages of chunks, in the cache or not.
    /// - Throws: when LMDB takes no change, or a chunk that an unclean stop left cannot be checked. Nothing stays
    ///   locked.
    func evict(_ wanted: [ChunkIndex: PageSet]) async throws(DiskError) -> EvictedRanges {
        let chunks = wanted.keys.sorted()
        // All of them before the first lock: a check may fail, and takes its chunk's lock itself.
        for chunk in chunks where unverified.contains(chunk) { try await verify(chunk) }
        var result = EvictedRanges()
        try await evict(chunks, &result) { chunk, result in
            evictable(chunk, wanted[chunk]!, &result)
        }
        return result
    }

    /// - Parameter choose: what of a locked chunk leaves.
    private func evict(
        _ chunks: [ChunkIndex],
        _ result: inout EvictedRanges,
        _ choose: (ChunkIndex, inout EvictedRanges) -> Leaving?
    ) async throws(DiskError) {
        var batch: [Leaving] = []
        var busy: [ChunkIndex] = []
        for chunk in chunks {
            // Who holds locks must not wait for another.
            guard locks.tryAcquire(chunk) else {
                busy.append(chunk)
                continue
            }
            if let leaving = choose(chunk, &result) { batch.append(leaving) } else { unlock(chunk) }
        }
        try await evictLocked(batch, &result)
        for chunk in busy {
            await lock(chunk)
            if let leaving = choose(chunk, &result) {
                try await evictLocked([leaving], &result)
            } else {
                unlock(chunk)
            }
        }
        await recount()
    }

    /// What of pages of a locked chunk may go; what stays is counted.
    private func evictable(_ chunk: ChunkIndex, _ wanted: PageSet, _ result: inout EvictedRanges) -> Leaving? {
        let word = plane.table.load(chunk)
        guard word.isResident else { return nil }
        let present = presentPages(word)
        let wanted = wanted.intersection(present)
        if word.isDirty {
            result.dirtyBytes += UInt64(wanted.count * DiskGeometry.pageBytes)
            return nil
        }
        let loose = pins.pages(of: chunk).map { wanted.subtracting($0) } ?? wanted
        result.pinnedBytes += UInt64((wanted.count - loose.count) * DiskGeometry.pageBytes)
        if loose.isEmpty { return nil }
        return Leaving(chunk: chunk, pages: loose == present ? nil : loose)
    }

    /// Unlocks the chunks in the end.
    private func evictLocked(_ batch: [Leaving], _ result: inout EvictedRanges) async throws(DiskError) {
        guard !batch.isEmpty else { return }
        await lockRecording()
        defer {
            recording.release()
            for leaving in batch { unlock(leaving.chunk) }
        }
        for leaving in batch { await close(leaving.chunk) }
        let bytes = batch.reduce(0) { $0 + UInt64(count(of: $1) * DiskGeometry.pageBytes) }
        do throws(DiskError) {
            try await forgetAndPunch(batch)
            unverified.subtract(batch.map(\.chunk))
            result.evictedBytes += bytes
            plane.counters.noteEviction(chunks: batch.count, bytes: Int(bytes))
        } catch {
            for leaving in batch { open(leaving.chunk) }
            throw error
        }
    }
}
