package import Linux
package import Synchronization
package import VDriveModel

/// The ground that FUSE threads and actors share: no async, no actor, no allocation on the hit path.
package final class DataPlane: Sendable {
    package let geometry: DiskGeometry
    package let table: ChunkTable
    package let pages: PageSets
    package let cache: CacheFile
    package let ring: RequestRing
    package let buffers: RequestBuffers
    package let counters = Counters()
    /// The epoch that writes go into now. Sealing is one increment of it (ordering rule 5).
    package let epoch: Atomic<UInt64>
    /// Coarse logical time for the access ticks; CacheActor moves it on.
    package let clock = Atomic<UInt64>(0)
    /// Writes are answered with this errno while it is not 0: the disk is read-only (fenced, diverged).
    package let writeErrno = Atomic<CInt>(0)

    /// - Parameters:
    ///   - cacheDirectory: exists; holds this disk's cache files alone.
    ///   - epoch: the first epoch that writes go into.
    package init(geometry: DiskGeometry, cacheDirectory: String, epoch: Epoch) throws(Errno) {
        self.geometry = geometry
        table = try ChunkTable(chunkCount: geometry.chunkCount)
        let slots = min(geometry.chunkCount, UInt64(ChunkWord.slotsMax))
        pages = try PageSets(pagesPerChunk: geometry.pagesPerChunk, slotCount: Int(slots))
        cache = try CacheFile(directory: cacheDirectory, diskBytes: geometry.diskBytes)
        ring = RequestRing(capacity: DataPlaneLimits.ringCapacity)
        buffers = try RequestBuffers()
        self.epoch = Atomic(epoch.rawValue)
    }
}

/// Bounds of the data plane, each with its reason.
package enum DataPlaneLimits {
    /// FUSE's largest request: 256 pages is what libfuse 3.14 negotiates at most.
    package static let requestBytesMax = 1 << 20
    /// The kernel keeps at most `fuseBackground` requests in flight; synchronous ones add one a reading thread.
    package static let ringCapacity = 1024
    /// The loop device's queue depth is capped by this.
    package static let fuseBackground = 256
    /// Slow writes of more than this share the large buffers.
    package static let smallRequestBytesMax = 64 << 10
    /// Small slow writes in flight: what the kernel keeps in flight, and the synchronous ones beside it; 20 MiB.
    package static let smallBuffers = fuseBackground + 64
    /// Large slow writes in flight: 64 MiB.
    package static let largeBuffers = 64
}
