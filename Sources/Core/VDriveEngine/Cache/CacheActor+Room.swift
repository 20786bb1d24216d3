internal import Glibc
internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The limit, and what leaves the cache to keep it.
extension CacheActor {
    /// Reserves pages, evicting clean chunks, and waiting for uploads when all is dirty. The guest waits, and gets no
    /// error for want of room.
    ///
    /// - Throws: when no upload can help any more.
    func makeRoom(pages: Int) async throws(DiskError) {
        if reserve(pages) { return }
        while true {
            await recount()
            if reserve(pages) { return }
            if await evictOnce(lacking: pages) == 0 { try await waitForUploads() }
        }
    }

    /// A turn of waiting until an upload has made something clean.
    ///
    /// - Throws: when none will any more: the disk is fenced or broken, or at its end.
    func waitForUploads() async throws(DiskError) {
        try checkUploads()
        notePressure()
        events.yield(.wantsEpoch)
        await pause(EngineLimits.roomPoll)
    }

    /// - Throws: why nothing goes up any more, if so.
    func checkUploads() throws(DiskError) {
        if let broken { throw broken }
        let refusal = plane.writeErrno.load(ordering: .relaxed)
        if refusal == 0 {
            guard hasGivenUpUploads else { return }
            // The guest's writes end here: none that comes later is taken where this one is not.
            plane.writeErrno.store(EIO, ordering: .sequentiallyConsistent)
        }
        throw DiskError(
            refusal == EROFS ? .fenced : .retry,
            "The cache at \(plane.cache.directory) is full, and nothing of it is uploaded any more."
        )
    }

    /// Ends all waits for uploads with an error, from now on: the disk ends, or nobody waits for its remote any more.
    func giveUpUploads() {
        hasGivenUpUploads = true
        wakeRoomWaiters()
    }

    /// The disk stays after all.
    func expectUploads() { hasGivenUpUploads = false }

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
        freeAdded -= pages
        askForCleaning()
        return true
    }

    /// Ends a reservation: what was not filled is free again.
    func release(pages: Int, used: Int) {
        reservedPages -= pages
        addFree(pages - used)
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

    /// Evicts clean chunks, the policy's choice first, until about so many pages are free.
    ///
    /// - Returns: pages given back; 0 when nothing clean is left that nobody uses right now.
    func evict(pages wanted: Int) async -> Int {
        await lockRecording()
        defer { recording.release() }
        var chosen: [Leaving] = []
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
            let leaving = loosePart(of: chunk, word)
            pages += count(of: leaving)
            chosen.append(leaving)
        }
        putBack(skipped)
        let checked = chosen.count
        // What an unclean stop left may fill the whole cache, and nobody may ever touch it.
        for chunk in unverified {
            guard pages < wanted, chosen.count < EngineLimits.evictionChunksMax else { break }
            guard pins.pages(of: chunk) == nil, locks.tryAcquire(chunk) else { continue }
            pages += geometry.pagesPerChunk
            chosen.append(Leaving(chunk: chunk, pages: nil))
        }
        guard !chosen.isEmpty else { return 0 }
        for leaving in chosen { await close(leaving.chunk) }
        do throws(DiskError) {
            try await forgetAndPunch(chosen)
            unverified.subtract(chosen[checked...].map(\.chunk))
            plane.counters.noteEviction(chunks: chosen.count, bytes: pages * DiskGeometry.pageBytes)
        } catch {
            if error.kind != .outOfSpace { logger.error("eviction failed", metadata: ["error": "\(error)"]) }
            for leaving in chosen { open(leaving.chunk) }
            putBack(chosen[..<checked].map(\.chunk))
            pages = 0
        }
        for leaving in chosen { unlock(leaving.chunk) }
        await recount()
        return pages
    }
}
