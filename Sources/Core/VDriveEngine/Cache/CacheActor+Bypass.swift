internal import Linux
internal import VDriveDataPlane
internal import VDriveModel

/// Reads around the cache: when there is no room for what a read misses, or the cache's filesystem takes nothing.
extension CacheActor {
    /// What the caller of `pinResident` wants the pages for.
    enum Purpose: Sendable {
        /// They must be in the cache: waits for room, as long as uploads can give some.
        case use
        /// Their bytes are to be read: goes around the cache where there is no room.
        case read
        /// Nobody waits for them: given up where there is no room.
        case readAhead
        /// Somebody asked for them to be brought in: says so where there is no room.
        case prefetch
    }

    /// The bytes of a part of a chunk, verified, from the remote; pages that are in the cache from there.
    ///
    /// - Returns: nil when the chunk's state changed meanwhile, so that the caller looks anew.
    func bypass(_ part: ChunkPart) async throws(DiskError) -> ChunkBuffer? {
        let chunk = part.chunk
        let touched = geometry.pages(touchedBy: part.bytes)
        let perFrame = geometry.pagesPerFrame
        let frames = touched.lowerBound / perFrame..<(touched.upperBound - 1) / perFrame + 1
        guard let entry = try await remote.entry(for: chunk),
            let raw = try await remote.frames(of: chunk, entry: entry, frames)
        else { return nil }
        await lock(chunk)
        defer { unlock(chunk) }
        // As for a fill: under the lock the object stays the chunk's base.
        guard try await remote.entry(for: chunk)?.version == entry.version else { return nil }
        if let lost = entry.lostPages { try checkSound(chunk, touched, lost, entry) }
        let word = plane.table.load(chunk)
        let first = frames.lowerBound * perFrame
        switch word.presence {
        case .unknown: break
        case .partial: try await overlay(chunk, plane.pages.present(word.slot), touched, onto: raw, from: first)
        case .full, .hole: return nil
        }
        let start = part.bytes.lowerBound - first * DiskGeometry.pageBytes
        let answer = ChunkBuffer(count: part.bytes.count)
        answer.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw.bytes[start..<start + part.bytes.count]))
        return answer
    }

    /// Puts pages of the cache over those of the base. A page that a writer adds meanwhile is a write that is not
    /// answered yet: either content is right.
    private func overlay(
        _ chunk: ChunkIndex,
        _ present: PageSet,
        _ touched: Range<Int>,
        onto raw: ChunkBuffer,
        from first: Int
    ) async throws(DiskError) {
        let cache = plane.cache
        let start = geometry.offset(of: chunk)
        do throws(Errno) {
            try await onDisk { () throws(Errno) in
                for page in touched where present.contains(page) {
                    let at = (page - first) * DiskGeometry.pageBytes
                    let target = UnsafeMutableRawBufferPointer(rebasing: raw.bytes[at..<at + DiskGeometry.pageBytes])
                    try cache.read(at: start + UInt64(page * DiskGeometry.pageBytes), into: target)
                }
            }
        } catch {
            throw DiskError(.retry, "The cache at \(cache.directory) could not be read: \(error).")
        }
    }

    /// Reserves pages without waiting for uploads.
    ///
    /// - Returns: false when nothing clean is left to evict, or a fill has just failed.
    func tryRoom(pages: Int) async -> Bool {
        if let noFillBefore, ContinuousClock.now < noFillBefore { return false }
        for _ in 0..<EngineLimits.roomRounds {
            if reserve(pages) { return true }
            await recount()
            if reserve(pages) { return true }
            if await evictOnce(lacking: pages) == 0 {
                events.yield(.wantsEpoch)
                return reserve(pages)
            }
        }
        return false
    }
}
