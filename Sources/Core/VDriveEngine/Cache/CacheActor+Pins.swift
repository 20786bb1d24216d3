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
        try takePins(pins.replacing(rule, with: pageStretches(ranges)))
        guard let index = leftOut.firstIndex(where: { $0.id == rule }) else { return }
        leftOut.remove(at: index)
        tellLeftOut()
        wantPinned()
    }

    private func takePins(_ next: PinSet) throws(DiskError) {
        if next.pageCount > pins.pageCount { try CacheLimits.check(pins: next, limitBytes: limitBytes) }
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

    func removePins(_ rule: PinRuleID) {
        leftOut.removeAll { $0.id == rule }
        tellLeftOut()
        exchangePins(pins.replacing(rule, with: nil))
        adoptLeftOut()
    }

    /// Puts rules for parts of what a rule pins in its place. It takes no more than before, so nothing is checked.
    func replacePins(_ rule: PinRuleID, with parts: [PinRule]) {
        if leftOut.contains(where: { $0.id == rule }) {
            leftOut += parts
        } else {
            exchangePins(pins.replacing([(rule, nil)] + parts.map { ($0.id, pageStretches($0.ranges)) }))
        }
        removePins(rule)
    }

    // MARK: Rules that did not fit

    /// Before anything is taken up: pins what the rules of earlier runs say, as far as it fits.
    func adoptPins(_ rules: [PinRule]) {
        do throws(DiskError) {
            try takePins(pins.replacing(rules.map { ($0.id, pageStretches($0.ranges)) }))
        } catch {
            for rule in rules { adopt(rule) }
        }
        leftOutLimit = limitBytes
        tellLeftOut()
        wantPinned()
    }

    private func adopt(_ rule: PinRule) {
        do throws(DiskError) { try setPins(rule.id, rule.ranges) } catch {
            leftOut.append(rule)
            logger.error("a pin rule is not in force", metadata: ["rule": "\(rule.id)", "error": "\(error)"])
        }
    }

    /// There may be more room for pins than before.
    func adoptLeftOut() {
        leftOutLimit = limitBytes
        for rule in leftOut {
            do throws(DiskError) { try setPins(rule.id, rule.ranges) } catch { continue }
            logger.notice("a pin rule is in force again", metadata: ["rule": "\(rule.id)"])
        }
    }

    private func tellLeftOut() {
        guard !leftOut.isEmpty else { return warnings.clear(.pinsTooLarge) }
        let rules = leftOut.count == 1 ? "1 pin rule is" : "\(leftOut.count) pin rules are"
        warnings.raise(
            .pinsTooLarge,
            "\(rules) not in force: the cache is too small. Enlarge it, or remove pins; what fits then comes back."
        )
    }

    func pinTrouble(of rule: PinRuleID) -> PinTrouble? {
        if let one = leftOut.first(where: { $0.id == rule }) {
            let next = pins.replacing(rule, with: pageStretches(one.ranges))
            let reason = CacheLimits.excess(of: next, limitBytes: limitBytes) ?? "It lies in too many places."
            return .notInForce("It pins nothing. \(reason)")
        }
        return pinFetchFailure.map { .missing($0.message) }
    }

    // MARK: Bringing in

    /// Has what is pinned, and not in the cache, brought in.
    nonisolated func wantPinned() { pinWake.yield() }

    func notePinFetch(failure: DiskError?) {
        if let failure, failure.message != pinFetchFailure?.message {
            logger.warning("pinned data cannot be brought in yet", metadata: ["error": "\(failure)"])
        }
        pinFetchFailure = failure
    }

    private func pageStretches(_ ranges: [Range<UInt64>]) -> PinSet.Stretches {
        PinSet.stretches(touchedBy: ranges, geometry)
    }

    /// The policy learns which chunks it may choose from now on. Nothing waits.
    private func exchangePins(_ next: PinSet) {
        let changes = pins.difference(from: next)
        pins = next
        noteMarks()
        next.forEachChunk(of: changes) { chunk in
            let word = plane.table.load(chunk)
            if word.isResident, !word.isDirty { admit(chunk) }
        }
    }
}
