internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// What stays in the cache because somebody said so.
///
/// The policy knows a chunk as long as there is anything in it that may go: of a chunk that is pinned in part it takes
/// the other pages, and then the chunk is out of the policy until such pages come again. So what a fetch brings along
/// beside a pinned page never fills the cache for good.
extension CacheActor {
    /// What of a clean resident chunk is to leave the cache.
    struct Leaving {
        let chunk: ChunkIndex
        /// Nil for all of it.
        let pages: PageSet?
    }

    /// Pages of a clean resident chunk.
    func presentPages(_ word: ChunkWord) -> PageSet {
        word.presence == .full ? PageSet(full: geometry.pagesPerChunk) : plane.pages.present(word.slot)
    }

    /// What of a clean resident chunk the policy may take.
    func loosePart(of chunk: ChunkIndex, _ word: ChunkWord) -> Leaving {
        guard let pinned = pins.pages(of: chunk) else { return Leaving(chunk: chunk, pages: nil) }
        let present = presentPages(word)
        let loose = present.subtracting(pinned)
        return Leaving(chunk: chunk, pages: loose == present ? nil : loose)
    }

    /// How many pages of a clean resident chunk the policy may take: nil when all that is in it is pinned.
    func loosePages(_ chunk: ChunkIndex) -> Int? {
        let word = plane.table.load(chunk)
        guard !pins.isEmpty, let pinned = pins.pages(of: chunk) else { return presentCount(word) }
        let count = presentPages(word).subtracting(pinned).count
        return count == 0 ? nil : count
    }

    /// How many pages leave with it.
    func count(of leaving: Leaving) -> Int {
        if let pages = leaving.pages { return pages.count }
        return unverified.contains(leaving.chunk)
            ? geometry.pagesPerChunk : presentCount(plane.table.load(leaving.chunk))
    }

    private func presentCount(_ word: ChunkWord) -> Int {
        word.presence == .full ? geometry.pagesPerChunk : plane.pages.present(word.slot).count
    }

    // MARK: Changing the pins

    /// Replaces what a rule pins.
    ///
    /// - Parameter ranges: bytes of the disk.
    func setPins(_ rule: PinRuleID, _ ranges: [Range<UInt64>]) throws(DiskError) {
        let next = pins.replacing(rule, with: pageStretches(ranges))
        if next.pageCount > pins.pageCount { try checkPins(next.pageCount, limitBytes: limitBytes) }
        guard next.stretchCount <= EngineLimits.pinStretchesMax else {
            throw DiskError(
                .refused,
                "The pins of this disk would be \(next.stretchCount) stretches; at most "
                    + "\(EngineLimits.pinStretchesMax) are kept. Pin fewer files, or less scattered ones."
            )
        }
        exchangePins(next)
    }

    /// All that is pinned, whether in the cache or not.
    var pinnedBytes: UInt64 { pins.pageCount * UInt64(DiskGeometry.pageBytes) }

    func removePins(_ rule: PinRuleID) { exchangePins(pins.replacing(rule, with: nil)) }

    /// Before anything is taken up: pins what the rules of earlier runs say, as far as it fits.
    func adoptPins(_ rules: [PinRule]) {
        var left: UInt64 = 0
        for rule in rules {
            do throws(DiskError) { try setPins(rule.id, rule.ranges) } catch {
                left += 1
                logger.error("a pin rule is not in force", metadata: ["rule": "\(rule.id)", "error": "\(error)"])
            }
        }
        guard left > 0 else { return }
        warnings.raise(
            .pinsTooLarge,
            "\(left) of \(rules.count) pin rules are not in force: the cache is too small for them. Enlarge it, or "
                + "remove pins."
        )
    }

    /// Whole pages of the disk that byte ranges touch.
    private func pageStretches(_ ranges: [Range<UInt64>]) -> PinSet.Stretches {
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        return ranges.map { $0.clamped(to: 0..<geometry.diskBytes) }.filter { !$0.isEmpty }.map { range in
            range.lowerBound / pageBytes..<(range.upperBound - 1) / pageBytes + 1
        }
    }

    /// - Throws: `outOfSpace` when so many pinned pages would leave no room for the rest.
    func checkPins(_ pages: UInt64, limitBytes: UInt64) throws(DiskError) {
        let pinned = pages * UInt64(DiskGeometry.pageBytes)
        let needed = CacheLimits.leastBytes(forPinned: pinned)
        guard needed > limitBytes else { return }
        throw DiskError(
            .outOfSpace,
            "\(pinned) bytes are to stay pinned, which needs a cache of at least \(needed) bytes; it would be held to "
                + "\(limitBytes). Nothing was changed; enlarge the cache, free space beside it, or unpin something."
        )
    }

    /// The policy learns which chunks it may choose from now on. Nothing waits.
    private func exchangePins(_ next: PinSet) {
        let before = pins
        pins = next
        noteMarks()
        let refile = { (chunk: ChunkIndex) in
            let word = self.plane.table.load(chunk)
            if word.isResident, !word.isDirty { self.admit(chunk) }
        }
        before.forEachChunk(refile)
        next.forEachChunk { chunk in
            // Those with pins before are done.
            if before.pages(of: chunk) == nil { refile(chunk) }
        }
    }
}
