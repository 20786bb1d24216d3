internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The limit, and what leaves the cache to keep it.
extension CacheActor {
    /// Reserves pages, evicting clean chunks, and waiting for uploads when all is dirty. Never fails: the guest waits.
    func makeRoom(pages: Int) async {
        if reserve(pages) { return }
        while true {
            await recount()
            if reserve(pages) { return }
            if await evictOnce(lacking: pages) == 0 {
                notePressure()
                events.yield(.wantsEpoch)
                await pause(EngineLimits.roomPoll)
            }
        }
    }

    private func notePressure() {
        lastRoomWait = .now
        guard !isPressureTold else { return }
        isPressureTold = true
        report(.pressure(true))
    }

    /// Tells the end of the pressure, once nobody has waited for a while: writers that wait again and again are one
    /// trouble.
    func tellPressure() {
        guard isPressureTold, let lastRoomWait, lastRoomWait + EngineLimits.pressureEnds < .now else { return }
        isPressureTold = false
        report(.pressure(false))
    }

    /// Evicts for somebody who lacks room, or waits for whoever does so already.
    ///
    /// - Returns: pages given back; not 0 after a wait.
    func evictOnce(lacking pages: Int) async -> Int {
        if isEvicting {
            await withCheckedContinuation { roomWaiters.append($0) }
            return 1
        }
        isEvicting = true
        let share = Int(limitBytes) / DiskGeometry.pageBytes / EngineLimits.evictionShare
        let lacking = pages - plane.counters.freePages.load(ordering: .relaxed)
        let freed = await evict(pages: max(lacking, share))
        isEvicting = false
        wakeRoomWaiters()
        return freed
    }

    func reserve(_ pages: Int) -> Bool {
        guard plane.counters.reserve(pages: pages) else { return false }
        reservedPages += pages
        reservedEver += pages
        return true
    }

    /// Ends a reservation: what was not filled is free again.
    func release(pages: Int, used: Int) {
        reservedPages -= pages
        plane.counters.freePages.add(pages - used, ordering: .relaxed)
    }

    func wakeRoomWaiters() {
        let waiters = roomWaiters
        roomWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Sleeps, and merely lets others run in a cancelled task: a wait for somebody else's act must not spin.
    func pause(_ duration: Duration) async {
        do { try await Task.sleep(for: duration) } catch { await Task.yield() }
    }

    /// Sets the count of free pages from what the filesystem allocates and what is reserved for writes under way. The
    /// counts in between may be too low (a clean page rewritten is counted again), never too high by more than one
    /// write a thread.
    func recount() async {
        let cache = plane.cache
        let reservedBefore = reservedPages
        let everBefore = reservedEver
        do throws(Errno) {
            let allocated = try await onDisk { () throws(Errno) in try cache.allocatedBytes() }
            // What was reserved during the measurement is not in it either.
            let reserved = reservedBefore + reservedEver - everBefore
            let free = (Int(limitBytes) - Int(allocated)) / DiskGeometry.pageBytes - reserved
            plane.counters.freePages.add(
                free - plane.counters.freePages.load(ordering: .relaxed),
                ordering: .relaxed
            )
        } catch {
            logger.error("the cache could not be measured", metadata: ["error": "\(error)"])
        }
    }

    /// Evicts clean chunks, the policy's choice first, until about so many pages are free.
    ///
    /// - Returns: pages given back; 0 when nothing clean is left that nobody uses right now.
    func evict(pages wanted: Int) async -> Int {
        await lockRecording()
        defer { recording.release() }
        var chosen: [ChunkIndex] = []
        var skipped: [ChunkIndex] = []
        var pages = 0
        while pages < wanted, chosen.count < EngineLimits.evictionChunksMax,
            let chunk = policy.next(lastAccess: { lastAccess($0) }, takeUses: { takeUses($0) })
        {
            let word = plane.table.load(chunk)
            guard word.pins == 0, locks.tryAcquire(chunk) else {
                skipped.append(chunk)
                continue
            }
            pages += residentPages(word)
            chosen.append(chunk)
        }
        putBack(skipped)
        let checked = chosen.count
        // What an unclean stop left may fill the whole cache, and nobody may ever touch it.
        for chunk in unverified {
            guard pages < wanted, chosen.count < EngineLimits.evictionChunksMax else { break }
            guard locks.tryAcquire(chunk) else { continue }
            pages += geometry.pagesPerChunk
            chosen.append(chunk)
        }
        guard !chosen.isEmpty else { return 0 }
        for chunk in chosen { await close(chunk) }
        do throws(DiskError) {
            try await forgetAndPunch(chosen)
            for chunk in chosen[..<checked] { policy.evicted(chunk) }
            unverified.subtract(chosen[checked...])
            plane.counters.noteEviction(chunks: chosen.count, bytes: pages * DiskGeometry.pageBytes)
        } catch {
            if error.kind != .outOfSpace { logger.error("eviction failed", metadata: ["error": "\(error)"]) }
            for chunk in chosen { open(chunk) }
            putBack(chosen[..<checked])
            pages = 0
        }
        for chunk in chosen { unlock(chunk) }
        await recount()
        return pages
    }

    /// Ordering rule 2: LMDB forgets, durably, then the holes are punched. The chunks are clean, locked and (unless
    /// unverified) closed by the caller, who also holds the recording lock; afterwards they are unknown and open.
    func forgetAndPunch(_ chunks: [ChunkIndex]) async throws(DiskError) {
        let known = chunks.filter { recorded.contains($0) }
        if Faults.breaks(.rule2) { try await punchTooEarly(chunks) }
        if Faults.breaks(.rule3Records) { try await recordWithoutSync() }
        try await Faults.at(.evictBeforeForget, failing: .internal)
        if !known.isEmpty { try await bitmap.forget(known) }
        for chunk in known { recorded.remove(chunk) }
        let cache = plane.cache
        let bytes = geometry.chunkBytes
        let offsets = chunks.map { geometry.offset(of: $0) }
        do throws(Errno) {
            try await onDisk { () throws(Errno) in
                try Faults.atBlocking(.evictAfterForget)
                for offset in offsets { try cache.punch(at: offset, count: bytes) }
                try Faults.atBlocking(.evictAfterPunch)
            }
        } catch {
            // Some may be holes already, and LMDB speaks of none: they are gone from here in any case. What could not
            // be punched takes space, until the chunk is filled again or an unclean start sweeps it.
            logger.error("the cache could not give space back", metadata: ["error": "\(error)"])
        }
        for chunk in chunks {
            let word = plane.table.load(chunk)
            let slot = word.slot
            noteLeaving(chunk, word)
            changed.remove(chunk)
            plane.table.update(chunk) { $0.becoming(.unknown, dirty: false, slot: 0).closing(false) }
            if slot != 0 { freeSlots.append(slot) }
        }
    }

    /// Drops everything that is clean.
    ///
    /// - Returns: bytes given back.
    func evictAll() async -> UInt64 {
        var pages = 0
        while true {
            let freed = await evict(pages: .max)
            if freed == 0 { break }
            pages += freed
        }
        wakeRoomWaiters()
        return UInt64(pages * DiskGeometry.pageBytes)
    }

    /// The first chunk at or after one that is not unallocated.
    func nextData(from chunk: ChunkIndex) async throws(DiskError) -> ChunkIndex? {
        let mapped = try await remote.firstAllocated(from: chunk)
        return [mapped, dirty.lazy.filter { $0 >= chunk }.min()].compactMap { $0 }.min()
    }
}
