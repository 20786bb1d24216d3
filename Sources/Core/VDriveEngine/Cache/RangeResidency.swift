/// What of a byte range of the disk is where. `cached + absent + unallocated` is the range.
package struct RangeResidency: Hashable, Sendable {
    /// In the cache file, dirty or not.
    package var cachedBytes: UInt64 = 0
    /// In the cache alone; a part of `cachedBytes`.
    package var dirtyBytes: UInt64 = 0
    /// Pinned, whether in the cache or not.
    package var pinnedBytes: UInt64 = 0
    /// On the remote alone.
    package var absentBytes: UInt64 = 0
    /// Never written, or trimmed: zeros that cost nothing.
    package var unallocatedBytes: UInt64 = 0

    package init() {}

    package mutating func add(_ other: RangeResidency) {
        cachedBytes += other.cachedBytes
        dirtyBytes += other.dirtyBytes
        pinnedBytes += other.pinnedBytes
        absentBytes += other.absentBytes
        unallocatedBytes += other.unallocatedBytes
    }
}

/// What came of an eviction of byte ranges.
package struct EvictedRanges: Hashable, Sendable {
    package var evictedBytes: UInt64 = 0
    /// Stayed, because a rule pins it.
    package var pinnedBytes: UInt64 = 0
    /// Stayed, because somebody wrote it again meanwhile.
    package var dirtyBytes: UInt64 = 0

    package init() {}

    mutating func add(_ other: EvictedRanges) {
        evictedBytes += other.evictedBytes
        pinnedBytes += other.pinnedBytes
        dirtyBytes += other.dirtyBytes
    }
}
