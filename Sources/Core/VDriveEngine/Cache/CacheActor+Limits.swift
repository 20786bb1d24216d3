internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The limits, and the cleaning in the background that keeps away from them.
///
///     0 ───────────── low ── soft ────────── limit
///                      ◀───── cleaning
///
/// The limit in force is the hard one, or what the cache's filesystem has room for beside its reserve, whichever is
/// less. What is pinned counts as used already: soft and low are shares of the rest.
extension CacheActor {
    /// What the cache takes, and what its filesystem has.
    struct Measure: Sendable {
        var allocatedBytes: UInt64
        var space: FilesystemSpace
    }

    func measure() async throws(Errno) -> Measure {
        let cache = plane.cache
        return try await onDisk { () throws(Errno) in
            Measure(allocatedBytes: try cache.allocatedBytes(), space: try FilesystemSpace.of(cache.directory))
        }
    }

    /// What the cache's filesystem really allocates for this disk: the cache files, and what is kept beside them of
    /// sealed chunks.
    func usedBytes() async -> UInt64 {
        guard let measure = try? await measure() else { return 0 }
        return ours(measure)
    }

    private func ours(_ measure: Measure) -> UInt64 {
        measure.allocatedBytes + UInt64(outboxPages * DiskGeometry.pageBytes)
    }

    /// The limit in force.
    func effectiveLimit(_ limits: CacheLimits, _ measure: Measure) -> UInt64 {
        // A filesystem without a size of its own, as a tmpfs can be, keeps no reserve.
        guard measure.space.totalBytes > 0 else { return limits.hardBytes }
        let reserve = measure.space.totalBytes / 100 * UInt64(limits.reservePercent)
        let reachable = ours(measure) + measure.space.availableBytes
        let kept = reachable > reserve ? reachable - reserve : 0
        // With less than this nothing would go on at all, and a full filesystem is met in another way.
        let least = min(limits.hardBytes, EngineLimits.cacheChunksMin * UInt64(geometry.chunkBytes))
        return max(least, min(limits.hardBytes, kept))
    }

    /// Sets the limit in force and the count of free pages from what the filesystem says and what is reserved for
    /// writes under way. The counts in between may be too low (a clean page rewritten is counted again, and so is what
    /// hits write while the filesystem is asked), never too high by more than one write a thread.
    func recount() async {
        let reservedBefore = reservedPages
        let everBefore = reservedEver
        let hitsBefore = freeAdded - freePages
        do throws(Errno) {
            let measure = try await measure()
            // What was reserved during the measurement is not in it either, nor what hits took until now.
            let reserved = reservedBefore + reservedEver - everBefore
            let freeNow = freePages
            let hits = max(0, freeAdded - freeNow - hitsBefore)
            limitBytes = effectiveLimit(limits, measure)
            if limitBytes > leftOutLimit, !leftOut.isEmpty { adoptLeftOut() }
            let free = (Int(limitBytes) - Int(ours(measure))) / DiskGeometry.pageBytes - reserved - hits
            addFree(free - freeNow)
            noteMarks()
            notePressure(measure)
        } catch {
            logger.error("the cache could not be measured", metadata: ["error": "\(error)"])
        }
    }

    /// Changes the limits. What is above them leaves in the background.
    ///
    /// - Throws: `refused` when they make no sense, `outOfSpace` when what is pinned would not fit.
    func setLimits(_ next: CacheLimits) async throws(DiskError) {
        try next.check(geometry)
        let measure: Measure
        do throws(Errno) { measure = try await self.measure() } catch {
            throw DiskError(.internal, "The cache at \(plane.cache.directory) could not be measured: \(error).")
        }
        // From here to the end nothing else runs.
        let limit = effectiveLimit(next, measure)
        if next.hardBytes < limits.hardBytes || next.reservePercent > limits.reservePercent {
            try CacheLimits.check(pins: pins, limitBytes: limit)
        }
        if next.hardBytes != limits.hardBytes {
            let pages = CachePolicy.newPagesMin(cacheBytes: next.hardBytes, chunkBytes: geometry.chunkBytes)
            policy.resize(newPagesMin: pages)
            link.budgetMax = EngineLimits.aheadBytes(cacheBytes: next.hardBytes)
        }
        limits = next
        addFree((Int(limit) - Int(limitBytes)) / DiskGeometry.pageBytes)
        limitBytes = limit
        if !leftOut.isEmpty { adoptLeftOut() }
        noteMarks()
        askForCleaning()
    }

    // MARK: Cleaning

    /// Pages that are free where cleaning begins, and where it ends.
    struct CleaningMarks: Sendable {
        var freeAtSoft = 0
        var freeAtLow = 0
    }

    /// The limit, its shares, or the pins have changed.
    func noteMarks() {
        let limit = Int(limitBytes) / DiskGeometry.pageBytes
        let rest = max(0, limit - Int(clamping: pins.pageCount))
        marks = CleaningMarks(
            freeAtSoft: rest * (100 - limits.softPercent) / 100,
            freeAtLow: rest * (100 - limits.lowPercent) / 100
        )
    }

    private var freePages: Int { plane.counters.freePages.load(ordering: .relaxed) }

    /// Every change of that count but a reservation's.
    func addFree(_ pages: Int) {
        freeAdded += pages
        plane.counters.freePages.add(pages, ordering: .relaxed)
    }

    /// Has the cache cleaned when more than the soft limit is used.
    func askForCleaning() {
        guard freePages < marks.freeAtSoft, !isCleaningAsked, noCleaningBefore.map({ $0 <= .now }) ?? true else {
            return
        }
        isCleaningAsked = true
        events.yield(.wantsCleaning)
    }

    /// Evicts down to the low mark what is clean, when more than the soft limit is used. Where that does not suffice,
    /// what is dirty is to be uploaded.
    func clean() async {
        guard !isCleaning else { return }
        isCleaning = true
        defer {
            isCleaning = false
            isCleaningAsked = false
        }
        await punchAgain()
        await recount()
        guard freePages < marks.freeAtSoft else { return }
        while !Task.isCancelled, freePages < marks.freeAtLow {
            guard await evictOnce(lacking: marks.freeAtLow) == 0 else { continue }
            if plane.counters.dirtyPages.load(ordering: .relaxed) > 0 { events.yield(.wantsEpoch) }
            noCleaningBefore = .now + EngineLimits.cleaningRetry
            return
        }
    }

    /// Says so when it is the filesystem that holds the cache down; until it does no more.
    private func notePressure(_ measure: Measure) {
        guard limitBytes < limits.hardBytes else { return warnings.clear(.cachePressed) }
        guard freePages < marks.freeAtSoft else { return }
        warnings.raise(
            .cachePressed,
            "The filesystem of the cache at \(plane.cache.directory) has \(measure.space.availableBytes) bytes left, "
                + "and \(limits.reservePercent) % of it are kept free for others: the cache is held to \(limitBytes) "
                + "bytes instead of \(limits.hardBytes). Free space there, or lower the cache's size or its reserve."
        )
    }
}
