internal import VDriveDataPlane
internal import VDriveModel

/// What the cache's work comes to, for the counters: above all, whether reading ahead pays.
extension CacheActor {
    /// - Parameter needed: the frames of those that somebody waits for.
    func noteReadAhead(_ fetched: Range<Int>, but needed: [Int]) {
        let ahead = fetched.count - needed.count { fetched.contains($0) }
        if ahead > 0 { plane.counters.noteReadAhead(bytes: ahead * geometry.frameBytes) }
    }

    /// The pages of chunks that were read ahead and that nobody has read since.
    func pagesUnread(of chunks: [ChunkIndex]) -> Int {
        var pages = 0
        for chunk in chunks {
            let word = plane.table.load(chunk)
            if word.isAhead { pages += residentPages(word) }
        }
        return pages
    }

    func noteEviction(chunks: Int, pages: Int, unread pagesUnread: Int) {
        plane.counters.noteEviction(
            chunks: chunks,
            bytes: pages * DiskGeometry.pageBytes,
            unusedBytes: pagesUnread * DiskGeometry.pageBytes
        )
    }
}
