internal import Linux
internal import Synchronization
package import VDriveModel

/// What FUSE threads do by themselves: reads of resident pages and writes to chunks that are dirty already.
///
/// ## Notes on the design
/// No actor, no lock, no allocation: a word is pinned, the I/O is done at a computed place, the word is unpinned.
/// Whatever is not a hit is left to the engine, without a change.
///
/// A write belongs to the epoch that its chunk's slot carries. The writer pins (a sequentially consistent exchange),
/// then loads the disk's epoch; the sealer increments the epoch, then waits for pins. One of the two always sees the
/// other: a writer that passes the check is waited for, one that comes later sees the new epoch and takes the slow path
/// (ordering rule 5).
extension DataPlane {
    package enum ReadHit {
        /// Unallocated: zeros.
        case zeros
        /// The bytes are in the cache file; the chunks are pinned until `finishRead`.
        case file(descriptor: CInt, position: UInt64)
        case miss
    }

    /// - Parameters: a range inside the disk, `count` in 1…1 MiB.
    @inlinable package func startRead(offset: UInt64, count: Int) -> ReadHit {
        let end = offset + UInt64(count)
        // The common case, first: one chunk.
        let first = geometry.chunk(at: offset)
        let last = geometry.chunk(at: end - 1)
        let time = clock.load(ordering: .relaxed)
        var chunk = first
        var isResident = false
        var sawHole = false
        while true {
            let start = geometry.offset(of: chunk)
            let bytes = Int(max(offset, start) - start)..<Int(min(end, start + UInt64(geometry.chunkBytes)) - start)
            switch pinForRead(chunk, bytes: bytes, time: time) {
            case .pinned:
                // A range of both kinds is left to the engine: finishRead unpins by the range alone.
                if sawHole {
                    table.unpin(chunk)
                    return .miss
                }
                isResident = true
            case .hole where !isResident: sawHole = true
            case .hole, .miss:
                if isResident { unpin(first, before: chunk) }
                return .miss
            }
            if chunk == last { break }
            chunk = ChunkIndex(chunk.rawValue + 1)
        }
        guard isResident else { return .zeros }
        guard offset >> CacheFile.fileShift == (end - 1) >> CacheFile.fileShift, let place = cache.place(of: offset)
        else {
            unpin(first, before: ChunkIndex(last.rawValue + 1))
            return .miss
        }
        return .file(descriptor: place.descriptor, position: place.position)
    }

    /// Unpins what `startRead` pinned, once the reply is out.
    @inlinable package func finishRead(offset: UInt64, count: Int) {
        let last = geometry.chunk(at: offset + UInt64(count) - 1)
        unpin(geometry.chunk(at: offset), before: ChunkIndex(last.rawValue + 1))
    }

    @usableFromInline enum Pinning {
        case pinned
        case hole
        case miss
    }

    @inlinable func pinForRead(_ chunk: ChunkIndex, bytes: Range<Int>, time: UInt64) -> Pinning {
        guard let word = table.pin(chunk, writing: false, tick: time) else {
            return table.load(chunk).presence == .hole ? .hole : .miss
        }
        if word.presence == .partial, !pages.hasPresent(word.slot, geometry.pages(touchedBy: bytes)) {
            table.unpin(chunk)
            return .miss
        }
        if word.isMarked { ring.advise(chunk) }
        return .pinned
    }

    @inlinable func unpin(_ first: ChunkIndex, before end: ChunkIndex) {
        var chunk = first
        while chunk < end {
            table.unpin(chunk)
            chunk = ChunkIndex(chunk.rawValue + 1)
        }
    }

    /// Writes to one dirty chunk of the current epoch.
    ///
    /// - Returns: false, and nothing changed that matters, when the engine must do it: another state, an edge page that
    ///   is not there, no room, more than one chunk, or an I/O error (after which the pages hold old or new bytes, as
    ///   after any write that was not answered).
    @inlinable package func write(offset: UInt64, bytes: UnsafeRawBufferPointer) -> Bool {
        let chunk = geometry.chunk(at: offset)
        let start = Int(offset - geometry.offset(of: chunk))
        guard start + bytes.count <= geometry.chunkBytes,
            let word = table.pin(chunk, writing: true, tick: clock.load(ordering: .relaxed))
        else { return false }
        defer { table.unpin(chunk) }
        guard pages.epoch(word.slot).rawValue == epoch.load(ordering: .sequentiallyConsistent),
            writeErrno.load(ordering: .relaxed) == 0
        else { return false }
        return writePinned(offset: offset, bytes: bytes, inChunk: start..<start + bytes.count, word: word)
    }

    @inlinable
    func writePinned(offset: UInt64, bytes: UnsafeRawBufferPointer, inChunk: Range<Int>, word: ChunkWord) -> Bool {
        let touched = geometry.pages(touchedBy: inChunk)
        let covered = geometry.pages(coveredBy: inChunk)
        // An edge page must be there whole, or the rest of it would be lost.
        if covered != touched, word.presence == .partial {
            let edges = pages.absent(word.slot, touched) - (covered.isEmpty ? 0 : pages.absent(word.slot, covered))
            if edges > 0 { return false }
        }
        // What is dirty has bytes; what is not may be a hole of the cache file, as what was trimmed is. This can count
        // a page twice (a clean one that is rewritten); the engine sets the count right from what the filesystem
        // allocates.
        let fresh = pages.clean(word.slot, touched)
        guard counters.reserve(pages: fresh), let place = cache.place(of: offset) else { return false }
        guard CacheFile.writeAll(place.descriptor, bytes, at: place.position) else {
            counters.freePages.add(fresh, ordering: .relaxed)
            return false
        }
        let newlyDirty = pages.insert(word.slot, touched, dirty: true)
        if newlyDirty > 0 {
            counters.dirtyPages.add(newlyDirty, ordering: .relaxed)
            pages.noteChanged(word.slot)
        } else if word.presence == .partial, !pages.hasNoted(word.slot, touched) {
            // Another writer has set the bits just now; a flush that comes after this answer must not miss them.
            pages.noteChanged(word.slot)
        }
        return true
    }
}
