internal import VDriveDataPlane

/// The time of the access ticks: it passes with what is brought into the cache, and stands still while nothing is.
///
/// One turnover of the cache is 64 periods of `ChunkWord.ticksPerPeriod` ticks, and in caches of a few MiB about that,
/// so that a chunk which is read on and on gathers the uses that keep it while it passes through a tenth of the cache,
/// and one that is read once, in whatever pieces, does not. The ticks of a word come round after 512 turnovers. A value
/// without I/O or await.
package struct CacheTime: Sendable {
    package static let periodsPerTurnover = 64

    /// Pages that do not make a tick yet.
    private var pages = 0

    package init() {}

    /// - Parameters:
    ///   - pages: how many were brought in.
    ///   - limitPages: what the cache holds.
    /// - Returns: ticks that have passed.
    package mutating func bringIn(pages: Int, limitPages: Int) -> UInt64 {
        let perTick = max(1, limitPages / (Self.periodsPerTurnover * Int(ChunkWord.ticksPerPeriod)))
        self.pages += pages
        defer { self.pages %= perTick }
        return UInt64(self.pages / perTick)
    }
}
