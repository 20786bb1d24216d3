internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// What is fetched before it is asked for: `ReadAhead` says what, `LinkEstimate` how much at a time.
///
/// A chunk that was fetched ahead is marked, and its first hit takes the mark away and comes here. So a mark that is
/// still there when the chunk leaves the cache tells of waste.
extension CacheActor {
    /// A reader waits for pages that are not here.
    ///
    /// - Parameter isUnderWay: some of them are being fetched.
    func missed(_ chunk: ChunkIndex, _ pages: Range<Int>, isUnderWay: Bool) {
        readAhead.miss(chunk, pages: pages, isUnderWay: isUnderWay, limit: aheadLimit)
        fetchMoreAhead()
    }

    /// A sequential reader has come to a marked chunk: its window moves on before it ends.
    func reached(_ chunk: ChunkIndex) {
        if let pages = unread.removeValue(forKey: chunk) { readAhead.note(pages: pages, wereRead: true) }
        readAhead.reached(chunk, limit: aheadLimit)
        fetchMoreAhead()
    }

    /// Pages of a chunk were filled before anybody asked for them; the chunk is marked.
    func noteAhead(_ chunk: ChunkIndex, pages: Int) {
        // Beyond the bound it is not known what became of some, which only makes the waste look smaller.
        if unread.count >= EngineLimits.unreadChunksMax { unread = [:] }
        unread[chunk, default: 0] += pages
        plane.counters.noteReadAhead(bytes: pages * DiskGeometry.pageBytes)
    }

    /// A chunk is about to leave the cache.
    func noteLeaving(_ chunk: ChunkIndex, _ word: ChunkWord) {
        guard let pages = unread.removeValue(forKey: chunk) else { return }
        readAhead.note(pages: pages, wereRead: !word.isMarked)
        guard word.isMarked else { return }
        plane.counters.noteReadAheadUnused(bytes: pages * DiskGeometry.pageBytes)
    }

    /// Frames that one reader may be fetched ahead: what fills the link while the reader is somewhere in a chunk, a
    /// share of the cache, and no more than anybody needs. Whatever is more would be fetched behind the end of files.
    private var aheadLimit: Int {
        let share = Int(limitBytes) / 4 / geometry.frameBytes / max(1, readAhead.streamCount)
        return min(share, link.budgetFrames + geometry.framesPerChunk, EngineLimits.readAheadFramesMax)
    }

    /// Seconds, for `link`.
    var now: Double { started.duration(to: .now) / .seconds(1) }

    /// Hands out as much as the link takes.
    func fetchMoreAhead() {
        while readAhead.wantsMore, let room = link.admit(at: now) {
            guard let piece = readAhead.take(upTo: room.frames) else {
                link.end(room.number, hasArrived: false, at: now)
                return
            }
            events.yield(.readAhead(piece, transfer: room.number))
        }
    }

    /// Brings frames in that nobody waits for. A failure is nobody's: whoever reads them gets its own.
    ///
    /// - Parameter transfer: the part of the link that is reserved for them.
    func fetchAhead(_ piece: ReadAhead.Piece, transfer: Int) async {
        defer {
            link.end(transfer, hasArrived: false, at: now)
            fetchMoreAhead()
        }
        guard !Task.isCancelled else { return }
        let chunk = piece.chunk
        do throws(DiskError) {
            if unverified.contains(chunk) { try await verify(chunk) }
            guard let entry = try await remote.entry(for: chunk) else {
                if plane.table.load(chunk).presence != .hole { try await publishZeroBase(chunk) }
                return
            }
            // A damaged object is fetched frame by frame, and only what somebody needs of it.
            guard entry.lostPages == nil, narrow[chunk] != entry.version else { return }
            let perFrame = geometry.pagesPerFrame
            let pages = piece.frames.lowerBound * perFrame..<piece.frames.upperBound * perFrame
            let missing = framesMissing(chunk, pages).filter { inFlight[FrameKey(chunk: chunk, frame: $0)] == nil }
            guard let first = missing.first else { return }
            // What lies behind a gap is left to its reader: a gap is there because readers are at work.
            var end = first + 1
            while end - first < missing.count, missing[end - first] == end { end += 1 }
            let hasRoom = try await fetch(chunk, entry, frames: first..<end, for: .readAhead, transfer: transfer)
            if !hasRoom { readAhead.dropAll() }
        } catch {
            readAhead.dropAll()
        }
    }
}
