internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// Whole chunks that become zeros, many at a time: a trim of a large disk names millions of them.
extension CacheActor {
    /// Makes chunks zeros and gives their space back.
    ///
    /// - Parameter chunks: in order, none twice, none unallocated as far as is known.
    func trim(_ chunks: [ChunkIndex]) async throws(DiskError) {
        if let broken { throw broken }
        var batch: [ChunkIndex] = []
        var others: [ChunkIndex] = []
        for chunk in chunks {
            // Whoever holds locks must not wait for another. And a sealed chunk's bytes must be kept first.
            guard sealed[chunk] == nil, locks.tryAcquire(chunk) else {
                others.append(chunk)
                continue
            }
            batch.append(chunk)
        }
        let result = await trimLocked(batch)
        for chunk in batch { unlock(chunk) }
        do throws(DiskError) { try result.get() } catch {
            // One by one they wait for space, as deallocations do.
            guard error.kind == .outOfSpace else { throw error }
            others = batch + others
        }
        let whole = 0..<geometry.chunkBytes
        for chunk in others { try await deallocate(ChunkPart(chunk: chunk, bytes: whole)) }
    }

    private func trimLocked(_ batch: [ChunkIndex]) async -> Result<Void, DiskError> {
        var holes: [Range<UInt64>] = []
        for chunk in batch {
            let word = plane.table.load(chunk)
            // What is not here has no bytes in the file (invariant 1), unless it could not be punched.
            guard word.isResident || unverified.contains(chunk) || unpunched.contains(chunk) else { continue }
            await close(chunk)
            let start = geometry.offset(of: chunk)
            let end = start + UInt64(geometry.chunkBytes)
            let touches = holes.last.map { $0.upperBound == start && start % CacheFile.bytesPerFile != 0 } ?? false
            if touches {
                holes[holes.count - 1] = holes[holes.count - 1].lowerBound..<end
            } else {
                holes.append(start..<end)
            }
        }
        let cache = plane.cache
        let stretches = holes
        let starts = batch.map { geometry.offset(of: $0) }.filter { cache.place(of: $0) == nil }
        do throws(Errno) {
            if !stretches.isEmpty || !starts.isEmpty {
                try await onDisk { () throws(Errno) in
                    for start in starts { try cache.open(for: start) }
                    for stretch in stretches { try cache.punch(at: stretch.lowerBound, count: stretch.count) }
                }
            }
        } catch {
            for chunk in batch { open(chunk) }
            return .failure(writeTrouble(error, "could not be trimmed"))
        }
        // From here to the end nothing else runs. An epoch that was sealed meanwhile has the trim in it: a write that
        // was not answered yet may belong to either.
        for chunk in batch { becomeZeros(chunk) }
        return .success(())
    }

    /// Pages of a closed dirty chunk are zeros without bytes. The chunk is dirty by its word and goes up; its pages are
    /// not: only pages with bytes are, so that a hit that fills such a hole reserves the room that it takes.
    func noteZeros(_ chunk: ChunkIndex, _ slot: Int, _ pages: Range<Int>) {
        var zeros = PageSet(pageCount: geometry.pagesPerChunk)
        zeros.insert(pages)
        let dirty = plane.pages.dirty(slot)
        let left = dirty.subtracting(zeros)
        plane.pages.setDirty(slot, left)
        plane.pages.insert(slot, pages, dirty: false)
        plane.counters.dirtyPages.subtract(dirty.count - left.count, ordering: .relaxed)
        changed.insert(chunk)
        // Also after a crash these pages must not count as having bytes: the next flush says so.
        recordedWhole.remove(chunk)
    }

    private func becomeZeros(_ chunk: ChunkIndex) {
        unpunched.remove(chunk)
        let word = plane.table.load(chunk)
        guard word.presence != .hole else { return open(chunk) }
        let pageCount = geometry.pagesPerChunk
        var slot = word.slot
        if !word.isDirty {
            if slot == 0 { slot = takeSlot() }
            let epoch = Epoch(plane.epoch.load(ordering: .sequentiallyConsistent))
            let none = PageSet(pageCount: pageCount)
            plane.pages.reset(slot, chunk: chunk, epoch: epoch, present: PageSet(full: pageCount), dirty: none)
            policy.remove(chunk)
            unverified.remove(chunk)
            dirty.insert(chunk)
        }
        noteZeros(chunk, slot, 0..<pageCount)
        trimmed.insert(chunk)
        plane.table.update(chunk) { $0.becoming(.full, dirty: true, slot: slot).closing(false) }
    }
}
