internal import VDriveModel

/// How much of its filesystem a disk's cache may take. All of it may be changed while the disk is attached.
package struct CacheLimits: Hashable, Sendable {
    package static let softPercentDefault = 80
    package static let reservePercentDefault = 5
    package static let softPercents = 10...100
    package static let reservePercents = 0...90
    /// Background cleaning goes on until it is so far below the soft limit.
    static let cleaningPercent = 5

    /// What is never exceeded by more than one chunk a writer.
    package var hardBytes: UInt64
    /// Cleaning in the background begins at this share of the hard limit; one of `softPercents`.
    package var softPercent: Int
    /// This share of the cache's filesystem stays free for others; one of `reservePercents`.
    package var reservePercent: Int

    package init(
        hardBytes: UInt64,
        softPercent: Int = Self.softPercentDefault,
        reservePercent: Int = Self.reservePercentDefault
    ) {
        self.hardBytes = hardBytes
        self.softPercent = softPercent
        self.reservePercent = reservePercent
    }

    /// Where cleaning ends.
    package var lowPercent: Int { softPercent - Self.cleaningPercent }

    /// What a cache must be allowed for so much to be pinned: a tenth is left for everything else.
    package static func leastBytes(forPinned pinned: UInt64) -> UInt64 { pinned + (pinned + 8) / 9 }

    /// How much is needed where the pinned pages would leave no room for the rest: a sentence; nil where they fit.
    static func excess(of pins: PinSet, limitBytes: UInt64) -> String? {
        let pinned = pins.pageCount * UInt64(DiskGeometry.pageBytes)
        let needed = leastBytes(forPinned: pinned)
        guard needed > limitBytes else { return nil }
        return
            "\(pinned) bytes are to stay pinned, which needs a cache of at least \(needed) bytes; it would be held to "
            + "\(limitBytes)."
    }

    /// - Throws: `outOfSpace` when the pinned pages would leave no room for the rest.
    static func check(pins: PinSet, limitBytes: UInt64) throws(DiskError) {
        guard let excess = excess(of: pins, limitBytes: limitBytes) else { return }
        throw DiskError(
            .outOfSpace,
            "\(excess) Nothing was changed; enlarge the cache, free space beside it, or unpin something."
        )
    }

    /// - Throws: `refused` when a value is out of its range.
    func check(_ geometry: DiskGeometry) throws(DiskError) {
        let least = EngineLimits.cacheChunksMin * UInt64(geometry.chunkBytes)
        guard hardBytes >= least, hardBytes <= DiskGeometry.diskBytesMax else {
            throw DiskError(
                .refused,
                "The cache size \(hardBytes) is out of range; choose from \(least) bytes, four chunks, to 1 EiB."
            )
        }
        guard Self.softPercents.contains(softPercent), Self.reservePercents.contains(reservePercent) else {
            throw DiskError(
                .refused,
                "The soft limit must be from 10 to 100 percent of the cache, the reserve from 0 to 90 percent of its "
                    + "filesystem."
            )
        }
    }
}
