package import Synchronization

/// What the data plane counts, and the gauges that FUSE threads must read without asking anybody. Any thread.
package final class Counters: Sendable {
    /// Requests answered on the FUSE thread, and those that went over the ring.
    package let readHits = Atomic<UInt64>(0)
    package let readMisses = Atomic<UInt64>(0)
    package let writeHits = Atomic<UInt64>(0)
    package let writeMisses = Atomic<UInt64>(0)
    /// Bytes of chunks that are not unallocated; `st_blocks` of the image.
    package let allocatedBytes = Atomic<UInt64>(0)
    /// Pages of the cache file that may still be filled before somebody must evict. Can be negative for a while.
    package let freePages = Atomic<Int>(0)
    /// Dirty pages, sealed ones included until their epoch is committed.
    package let dirtyPages = Atomic<Int>(0)
    /// Bytes that were fetched before anybody asked for them, and those of them that left the cache unread.
    package let readAheadBytes = Atomic<UInt64>(0)
    package let readAheadUnusedBytes = Atomic<UInt64>(0)

    package init() {}

    /// Takes pages out of what is free, if there are as many.
    package func reserve(pages: Int) -> Bool {
        if pages == 0 { return true }
        let before = freePages.subtract(pages, ordering: .relaxed).oldValue
        if before >= pages { return true }
        freePages.add(pages, ordering: .relaxed)
        return false
    }
}
