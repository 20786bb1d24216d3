/// What a disk has done since it was attached, at one moment. Each number is exact, together they are not one cut.
package struct Totals: Sendable, Hashable {
    /// Requests of the guest that were answered from what is here, and those that were not.
    package var readHits: UInt64 = 0
    package var readMisses: UInt64 = 0
    package var writeHits: UInt64 = 0
    package var writeMisses: UInt64 = 0
    package var flushes: UInt64 = 0
    package var trims: UInt64 = 0
    /// Requests, of those above, that the guest got an error for.
    package var readErrors: UInt64 = 0
    package var writeErrors: UInt64 = 0
    package var flushErrors: UInt64 = 0
    package var trimErrors: UInt64 = 0
    /// Bytes that the guest got, gave and trimmed.
    package var readBytes: UInt64 = 0
    package var writtenBytes: UInt64 = 0
    package var trimmedBytes: UInt64 = 0
    /// Fetches that brought pages into the cache, and the pages' bytes.
    package var fills: UInt64 = 0
    package var filledBytes: UInt64 = 0
    /// Bytes that were fetched before anybody asked for them.
    package var readAheadBytes: UInt64 = 0
    /// Bytes of chunks that were read ahead and evicted before anybody read them.
    package var readAheadUnusedBytes: UInt64 = 0
    package var evictedChunks: UInt64 = 0
    package var evictedBytes: UInt64 = 0
    /// Epochs committed.
    package var commits: UInt64 = 0
    /// Chunk objects put, their chunks' bytes, and the objects' own.
    package var uploadedChunks: UInt64 = 0
    package var uploadedRawBytes: UInt64 = 0
    package var uploadedStoredBytes: UInt64 = 0

    package init() {}
}
