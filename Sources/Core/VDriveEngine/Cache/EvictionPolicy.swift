internal import VDriveModel

/// Chooses what leaves the cache. A value without clock, I/O or await; CacheActor feeds it.
///
/// It knows the clean resident chunks: `admit` and `remove` keep it so. A hit only stores a tick and a counter in the
/// chunk's word, so that no list moves on the hit path; the policy reads them when it chooses.
protocol EvictionPolicy: Sendable {
    /// A chunk became clean and resident.
    mutating func admit(_ chunk: ChunkIndex, tick: UInt64)
    /// A chunk is not to be chosen any more: it became dirty, or left the cache.
    mutating func remove(_ chunk: ChunkIndex)
    /// The next chunk to evict, taken out of the policy, or nil when it knows none.
    ///
    /// - Parameter lastAccess: the tick of a chunk's last access.
    mutating func next(lastAccess: (ChunkIndex) -> UInt64) -> ChunkIndex?
    /// Chunks that could be chosen.
    var count: Int { get }
}
