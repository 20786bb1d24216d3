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

    /// Drops everything that is clean and not pinned.
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

    // MARK: By range

    /// Drops the pages that lie whole in parts of chunks, unless they are dirty or pinned.
    ///
    /// - Parameter parts: of different chunks.
    /// - Throws: when LMDB takes no change, or a chunk that an unclean stop left cannot be checked.
    func evict(_ parts: [ChunkPart]) async throws(DiskError) -> EvictedRanges {
        var result = EvictedRanges()
        var batch: [Leaving] = []
        var busy: [ChunkPart] = []
        for part in parts {
            if unverified.contains(part.chunk) { try await verify(part.chunk) }
            // Who holds locks must not wait for another.
            guard locks.tryAcquire(part.chunk) else {
                busy.append(part)
                continue
            }
            if let leaving = evictable(part, &result) { batch.append(leaving) } else { unlock(part.chunk) }
        }
        try await evictLocked(batch, &result)
        for part in busy {
            await lock(part.chunk)
            if let leaving = evictable(part, &result) {
                try await evictLocked([leaving], &result)
            } else {
                unlock(part.chunk)
            }
        }
        await recount()
        return result
    }

    /// What of a locked chunk may go; what stays is counted.
    private func evictable(_ part: ChunkPart, _ result: inout EvictedRanges) -> Leaving? {
        let word = plane.table.load(part.chunk)
        guard word.isResident else { return nil }
        let present = presentPages(word)
        var wanted = PageSet(pageCount: geometry.pagesPerChunk)
        wanted.insert(geometry.pages(coveredBy: part.bytes))
        wanted = wanted.intersection(present)
        if word.isDirty {
            result.dirtyBytes += UInt64(wanted.count * DiskGeometry.pageBytes)
            return nil
        }
        let loose = pins.pages(of: part.chunk).map { wanted.subtracting($0) } ?? wanted
        result.pinnedBytes += UInt64((wanted.count - loose.count) * DiskGeometry.pageBytes)
        if loose.isEmpty { return nil }
        return Leaving(chunk: part.chunk, pages: loose == present ? nil : loose)
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
            result.evictedBytes += bytes
            plane.counters.noteEviction(chunks: batch.count, bytes: Int(bytes))
        } catch {
            for leaving in batch { open(leaving.chunk) }
            throw error
        }
    }
}
