internal import Glibc
internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// Writes to chunks of the epoch that is being uploaded (ordering rule 5): the sealed bytes are kept for the
/// uploader, the write goes on at once.
///
///     waiting ──first write──▶ overwritten ──uploader reads──▶ captured
///        │                         │ too many pages, a punch
///        └─────── a punch ─────────┴──────────────▶ preserved ──uploader reads──▶ captured
///
/// Small writes keep the pages that they overwrite in memory; until the uploader has read the chunk, its writes come
/// through here, one by one. What is too much for that is copied into a file in the outbox, and the chunk goes on in
/// the current epoch, with hits.
extension CacheActor {
    /// Keeps what a write to a sealed chunk would destroy. The caller holds the lock.
    func writeBesideSealed(
        _ chunk: ChunkIndex,
        _ slot: Int,
        _ overwriting: Range<Int>?
    ) async throws(DiskError) {
        if Faults.breaks(.rule5) { return enterCurrentEpoch(chunk, slot) }
        guard let pages = overwriting, keptPages + pages.count <= EngineLimits.keptPagesMax else {
            return try await leaveSealedEpoch(chunk, slot)
        }
        switch sealed[chunk] {
        case .waiting:
            // Writers that passed the epoch check before the seal are waited for: their bytes are sealed ones.
            await close(chunk)
            open(chunk)
            sealed[chunk] = .overwritten(KeptPages(present: plane.pages.present(slot)))
            try await keep(pages, of: chunk)
        case .overwritten: try await keep(pages, of: chunk)
        case .captured, .preserved, nil: try await leaveSealedEpoch(chunk, slot)
        }
    }

    /// Reads the sealed pages of a range that are not kept yet.
    private func keep(_ pages: Range<Int>, of chunk: ChunkIndex) async throws(DiskError) {
        guard case .overwritten(var kept)? = sealed[chunk] else { return }
        let missing = pages.filter { kept.present.contains($0) && kept.pages[$0] == nil }
        guard !missing.isEmpty else { return }
        let cache = plane.cache
        let start = geometry.offset(of: chunk)
        do throws(Errno) {
            let read = try await onDisk { () throws(Errno) in
                try Faults.atBlocking(.preserveBeforeKeep)
                var read: [(Int, ChunkBuffer)] = []
                for page in missing {
                    let buffer = ChunkBuffer(count: DiskGeometry.pageBytes)
                    try cache.read(at: start + UInt64(page * DiskGeometry.pageBytes), into: buffer.bytes)
                    read.append((page, buffer))
                }
                return read
            }
            for (page, buffer) in read { kept.pages[page] = buffer }
        } catch {
            throw DiskError(.retry, "The cache at \(cache.directory) could not be read: \(error).")
        }
        keptPages += missing.count
        sealed[chunk] = .overwritten(kept)
        try await Faults.at(.preserveAfterKeep)
    }

    /// The sealed pages stay what they were, somewhere else; the chunk goes on in the current epoch. The caller holds
    /// the lock.
    private func leaveSealedEpoch(_ chunk: ChunkIndex, _ slot: Int) async throws(DiskError) {
        await close(chunk)
        defer { open(chunk) }
        switch sealed[chunk] {
        case .waiting:
            let whole = KeptPages(present: plane.pages.present(slot))
            sealed[chunk] = .preserved(try await copyAside(chunk, whole))
        case .overwritten(let kept):
            sealed[chunk] = .preserved(try await copyAside(chunk, kept))
            keptPages -= kept.pages.count
        case .captured, .preserved, nil: break
        }
        enterCurrentEpoch(chunk, slot)
    }

    /// Dirty pages of before the seal are noted as sealed; those written since are the chunk's dirty pages now, and
    /// hits may write to it again. The sealed bytes are safe.
    func enterCurrentEpoch(_ chunk: ChunkIndex, _ slot: Int) {
        let since = rewritten.removeValue(forKey: chunk) ?? PageSet(pageCount: geometry.pagesPerChunk)
        sealedDirty[chunk] = plane.pages.dirty(slot)
        // Both counts are open until the commit.
        plane.counters.dirtyPages.add(since.count, ordering: .relaxed)
        plane.pages.setDirty(slot, since)
        plane.pages.setEpoch(slot, Epoch(plane.epoch.load(ordering: .sequentiallyConsistent)))
        // A commit may have recorded the chunk as clean just now. Hits list it for pages that they find clean, and
        // leave those of another hit to that one: both rely on it that LMDB learns that the chunk is dirty.
        changed.insert(chunk)
    }

    /// Copies a closed chunk's sealed pages into a file, sharing blocks where the filesystem can.
    private func copyAside(_ chunk: ChunkIndex, _ sealed: KeptPages) async throws(DiskError) -> OutboxCopy {
        let pages = sealed.present.count
        // The lock is held: room is waited for without it.
        guard reserve(pages) else { throw DiskError(.busy, "There is no room for a copy of \(chunk).") }
        var used = 0
        defer { release(pages: pages, used: used) }
        let cache = plane.cache
        let start = geometry.offset(of: chunk)
        let path = "\(outboxDirectory)/\(hexadecimal(chunk.rawValue, digits: 9))"
        let bytes = UInt64(geometry.chunkBytes)
        do throws(Errno) {
            let copy = try await onDisk { () throws(Errno) in
                try Faults.atBlocking(.preserveBeforeCopy)
                let file = try OpenFile.open(path, flags: O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
                // The file lives as long as its descriptor: nothing to clean up after a crash.
                try Directory.removeFile(path)
                try file.truncate(to: bytes)
                for run in sealed.present.runs {
                    let at = run.lowerBound * DiskGeometry.pageBytes
                    try cache.copy(
                        at: start + UInt64(at),
                        count: run.count * DiskGeometry.pageBytes,
                        to: file,
                        at: UInt64(at)
                    )
                }
                for (page, buffer) in sealed.pages {
                    try file.pwriteAll(UnsafeRawBufferPointer(buffer.bytes), at: UInt64(page * DiskGeometry.pageBytes))
                }
                try Faults.atBlocking(.preserveAfterCopy)
                return OutboxCopy(file: file, present: sealed.present)
            }
            used = pages
            outboxPages += pages
            return copy
        } catch {
            throw writeTrouble(error, "could not take a copy of a sealed chunk")
        }
    }
}
