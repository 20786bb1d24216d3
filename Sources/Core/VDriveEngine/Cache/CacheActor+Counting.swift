internal import VDriveDataPlane
internal import VDriveModel

/// What the cache's work comes to, for the counters: above all, whether reading ahead pays.
extension CacheActor {
    /// - Parameter needed: the frames of those that somebody waits for.
    func noteReadAhead(_ fetched: Range<Int>, but needed: [Int]) {
        let ahead = fetched.count - needed.count { fetched.contains($0) }
        if ahead > 0 { plane.counters.noteReadAhead(bytes: ahead * geometry.frameBytes) }
    }

    /// A whole chunk was read ahead. Whoever reads it from now on leaves a later tick.
    func noteUnread(_ chunk: ChunkIndex) {
        // Beyond the bound something is told as read that was not, which only makes the figure too low.
        if unread.count >= EngineLimits.unreadChunksMax { unread = [:] }
        unread[chunk] = lastAccess(chunk)
        advanceClock()
    }

    /// The pages of chunks that were read ahead and that nobody has read since.
    func pagesUnread(of chunks: [ChunkIndex]) -> Int {
        var pages = 0
        for chunk in chunks where unread[chunk] == lastAccess(chunk) { pages += residentPages(plane.table.load(chunk)) }
        return pages
    }

    func noteEviction(of chunks: [ChunkIndex], pages: Int, unread pagesUnread: Int) {
        for chunk in chunks { unread[chunk] = nil }
        plane.counters.noteEviction(
            chunks: chunks.count,
            bytes: pages * DiskGeometry.pageBytes,
            unusedBytes: pagesUnread * DiskGeometry.pageBytes
        )
    }
}
