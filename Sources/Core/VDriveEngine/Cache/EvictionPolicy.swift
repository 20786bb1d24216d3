package import VDriveModel

/// Chooses what leaves the cache. A value without clock, I/O or await; CacheActor feeds it.
///
/// It knows the clean resident chunks, and may choose any of them; CacheActor keeps it so. A hit only stores a tick and
/// a counter in the chunk's word, so that no list moves on the hit path; the policy reads them when it chooses.
///
///     (unknown) ──admit, adopt──▶ choosable ──suspend, next──▶ held ──admit──▶ choosable, where it was
///         ▲                           │                         │
///         └──────remove, evicted──────┴─────remove, evicted─────┘
///
/// Every call takes a chunk in any state: one that makes no difference does nothing.
package protocol EvictionPolicy: Sendable {
    /// A chunk is clean and resident: newly, with other pages than before, or again after `suspend` or `next`. One that
    /// was held comes back to the place that it had.
    ///
    /// - Parameters:
    ///   - pages: how many of its pages are in the cache, 0 to the pages of a chunk.
    ///   - tick: of its last access.
    mutating func admit(_ chunk: ChunkIndex, pages: Int, tick: UInt64)
    /// Takes up a chunk that was in the cache before this policy was: after a start, or a change of the policy. The
    /// least recently used one comes first.
    mutating func adopt(_ chunk: ChunkIndex, pages: Int, tick: UInt64)
    /// A chunk is not to be chosen for the time being: it became dirty.
    mutating func suspend(_ chunk: ChunkIndex)
    /// A chunk left the cache otherwise than by eviction: it was trimmed or dropped.
    mutating func remove(_ chunk: ChunkIndex)
    /// The next chunk to evict, which is held then until `evicted`, or `admit` when it stays after all.
    ///
    /// - Parameters:
    ///   - lastAccess: the tick of a chunk's last access.
    ///   - takeUses: how often a chunk was used since this was last asked, 0 to 3.
    /// - Returns: nil when nothing is choosable.
    mutating func next(
        lastAccess: (ChunkIndex) -> UInt64,
        takeUses: (ChunkIndex) -> Int
    ) -> ChunkIndex?
    /// A chunk has left the cache because its room was wanted. A policy may remember it.
    mutating func evicted(_ chunk: ChunkIndex)
    /// The cache's limit has changed.
    ///
    /// - Parameter newPagesMin: what is new may take so many pages in any case.
    mutating func resize(newPagesMin: Int)
    /// The choosable chunks, in no order.
    var chunks: [ChunkIndex] { get }
    /// How many they are.
    var count: Int { get }
}

/// The policies that there are.
package enum CachePolicy: String, CaseIterable, Sendable {
    /// Least recently used out first.
    case lru
    /// Scan-resistant: what is used once leaves before what is used again.
    case s3fifo

    /// - Parameters: the cache's limit and the disk's chunk size.
    package func make(cacheBytes: UInt64, chunkBytes: Int) -> any EvictionPolicy {
        switch self {
        case .lru: return LRUPolicy()
        case .s3fifo:
            return S3FIFOPolicy(smallPagesMin: Self.newPagesMin(cacheBytes: cacheBytes, chunkBytes: chunkBytes))
        }
    }

    /// What two sequential readers may have ahead of them.
    static func newPagesMin(cacheBytes: UInt64, chunkBytes: Int) -> Int {
        let frameBytes = min(DiskGeometry.frameBytesMax, chunkBytes)
        let each = min(EngineLimits.aheadBytes(cacheBytes: cacheBytes), EngineLimits.readAheadFramesMax * frameBytes)
        return 2 * each / DiskGeometry.pageBytes
    }
}
