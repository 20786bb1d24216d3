internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel

/// The epoch now being uploaded, as the uploader knows it.
struct SealedEpoch: Sendable {
    let epoch: Epoch
    /// In order.
    let chunks: [ChunkIndex]
}

extension CacheActor {
    /// Whether anything written is not committed on the remote yet.
    var hasUncommitted: Bool { !dirty.isEmpty || !sealed.isEmpty }

    /// Bytes of the dirty chunks that the epoch in flight does not hold, whole chunks.
    var unsealedBytes: UInt64 { UInt64(max(0, dirty.count - sealed.count) * geometry.chunkBytes) }

    /// Cuts the disk's state: one increment of the epoch (ordering rule 5). Nothing waits and nothing is copied.
    ///
    /// - Precondition: no epoch is in flight.
    /// - Returns: nil when nothing is dirty.
    func seal() -> SealedEpoch? {
        precondition(sealed.isEmpty, "one epoch in flight")
        guard !dirty.isEmpty else { return nil }
        let epoch = plane.epoch.add(1, ordering: .sequentiallyConsistent).oldValue
        for chunk in dirty { sealed[chunk] = .waiting }
        sealedAt = .now
        return SealedEpoch(epoch: Epoch(epoch), chunks: dirty.sorted())
    }

    /// Reads a sealed chunk's present pages, once the writers that were in it at the seal are done.
    ///
    /// - Throws: `DiskError` when the cache cannot be read; the chunk can be captured again.
    func capture(_ chunk: ChunkIndex) async throws(DiskError) -> CapturedChunk {
        try await Faults.at(.captureBeforeRead)
        await lock(chunk)
        defer { unlock(chunk) }
        let present: PageSet
        var copy: OpenFile?
        var kept: [Int: ChunkBuffer] = [:]
        let slot = plane.table.load(chunk).slot
        switch sealed[chunk] {
        case .preserved(let aside):
            present = aside.present
            copy = aside.file
        case .waiting:
            await close(chunk)
            present = plane.pages.present(slot)
        case .overwritten(let overwritten):
            // Closed like the others, though no hit can write here before the epoch moves on below.
            await close(chunk)
            present = overwritten.present
            kept = overwritten.pages
        case .captured, nil: preconditionFailure("\(chunk) is not to be captured")
        }
        defer { if copy == nil { open(chunk) } }
        if trimmed.contains(chunk) {
            if case .waiting? = sealed[chunk], present.isFull, await isHole(chunk) {
                sealed[chunk] = .captured
                return CapturedChunk(chunk: chunk, buffer: nil, present: present)
            }
            trimmed.remove(chunk)
        }
        let buffer = ChunkBuffer(count: geometry.chunkBytes)
        let cache = plane.cache
        let start = geometry.offset(of: chunk)
        let source = copy
        do throws(Errno) {
            try await onDisk { () throws(Errno) in
                for run in present.runs {
                    let bytes = run.lowerBound * DiskGeometry.pageBytes..<run.upperBound * DiskGeometry.pageBytes
                    let target = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[bytes])
                    if let source {
                        try source.preadAll(into: target, at: UInt64(bytes.lowerBound))
                    } else {
                        try cache.read(at: start + UInt64(bytes.lowerBound), into: target)
                    }
                }
                try Faults.atBlocking(.captureAfterRead)
            }
        } catch {
            throw DiskError(.retry, "The cache at \(cache.directory) could not be read: \(error).")
        }
        for (page, bytes) in kept {
            buffer.bytes.baseAddress!.advanced(by: page * DiskGeometry.pageBytes)
                .copyMemory(from: bytes.bytes.baseAddress!, byteCount: DiskGeometry.pageBytes)
        }
        switch sealed[chunk] {
        case .overwritten?:
            keptPages -= kept.count
            enterCurrentEpoch(chunk, slot)
        case .preserved?: giveBackCopy(of: present)
        case .waiting?, .captured?, nil: break
        }
        sealed[chunk] = .captured
        return CapturedChunk(chunk: chunk, buffer: buffer, present: present)
    }

    /// Whether a trimmed chunk that nobody can write now has no bytes in the cache file. A file that cannot be asked
    /// is read, and gives the error.
    private func isHole(_ chunk: ChunkIndex) async -> Bool {
        let cache = plane.cache
        let start = geometry.offset(of: chunk)
        let count = geometry.chunkBytes
        return (try? await onDisk { () throws(Errno) in try cache.isHole(at: start, count: count) }) ?? false
    }

    /// The copy's file goes with its last reader.
    private func giveBackCopy(of pages: PageSet) {
        outboxPages -= pages.count
        addFree(pages.count)
    }

    /// The epoch's commit counts: LMDB learns it, then the dirty flags clear (ordering rule 6); pages written since
    /// stay dirty.
    ///
    /// - Parameter batch: what the commit changes beside the chunks' records.
    func finishEpoch(
        _ commit: CommitRecord,
        checkpoint: MapState.CheckpointNodes?,
        batch: MetadataBatch
    ) async throws(DiskError) {
        await lockRecording()
        defer { recording.release() }
        try await record(batch, committed: commit.entries)
        _ = await Faults.passes(.commitAfterMetadata)
        try await bitmap.committed(commit, checkpoint: checkpoint)
        for change in commit.entries where sealed[change.chunk] != nil { await clean(change) }
        sealed = [:]
        sealedDirty = [:]
        precondition(rewritten.isEmpty && keptPages == 0, "a captured chunk keeps nothing")
        if dirty.isEmpty {
            let bytes = commit.allocatedChunks * UInt64(geometry.chunkBytes)
            plane.counters.allocatedBytes.store(bytes, ordering: .relaxed)
        }
        wakeRoomWaiters()
    }

    /// What LMDB says of a chunk once its epoch is committed.
    func committedRecord(of change: CommitEntry) -> PageRecord? {
        let word = plane.table.load(change.chunk)
        let present = plane.pages.present(word.slot)
        if sealedDirty[change.chunk] != nil {
            return PageRecord(present: present, dirty: plane.pages.dirty(word.slot), isDirty: true)
        }
        // A chunk of zeros has no object, and needs no place here.
        if change.entry == nil { return nil }
        return PageRecord(present: present, dirty: PageSet(pageCount: present.pageCount), isDirty: false)
    }

    private func clean(_ change: CommitEntry) async {
        let chunk = change.chunk
        await lock(chunk)
        defer { unlock(chunk) }
        // What a trim found confirmed at the capture: nothing was written here since.
        let isHole = trimmed.remove(chunk) != nil
        if let pages = sealedDirty[chunk] {
            plane.counters.dirtyPages.subtract(pages.count, ordering: .relaxed)
            dirtySince[chunk] = sealedAt
            return
        }
        await close(chunk)
        let word = plane.table.load(chunk)
        plane.counters.dirtyPages.subtract(plane.pages.dirty(word.slot).count, ordering: .relaxed)
        dirty.remove(chunk)
        cleanings += 1
        dirtySince[chunk] = nil
        if change.entry == nil {
            if !isHole { await punchAbsent(chunk, [0..<geometry.pagesPerChunk]) }
            freeSlots.append(word.slot)
            changed.remove(chunk)
            plane.table.update(chunk) { $0.becoming(.hole, dirty: false, slot: 0).closing(false) }
            policy.remove(chunk)
            noteAllocated(-1)
            return
        }
        if word.presence == .full {
            freeSlots.append(word.slot)
            plane.table.update(chunk) { $0.becoming(.full, dirty: false, slot: 0).closing(false) }
        } else {
            plane.pages.setDirty(word.slot, PageSet(pageCount: geometry.pagesPerChunk))
            plane.table.update(chunk) { $0.becoming(.partial, dirty: false, slot: word.slot).closing(false) }
        }
        admit(chunk)
    }
}
