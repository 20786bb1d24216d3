internal import VDriveMetadata
package import VDriveModel

/// What stays in the cache. Rules are kept in LMDB, with what they came to; what they pin is set apart from that.
extension Disk {
    /// Replaces what one rule pins, at once and in memory alone.
    ///
    /// - Throws: `outOfSpace`, with how much is needed, when the pins of all rules would leave no room for the rest;
    ///   nothing is changed then.
    package func setPins(_ rule: PinRuleID, _ ranges: [Range<UInt64>]) async throws(DiskError) {
        try await cache.setPins(rule, ranges)
    }

    /// Ends what one rule pins, in memory alone; unknown rules are no error.
    package func removePins(_ rule: PinRuleID) async { await cache.removePins(rule) }

    /// The rules that this machine keeps, by their creation.
    package func pinRules() async throws(DiskError) -> [PinRule] { try await bitmap.pinRules() }

    /// Keeps a rule, or replaces it, durably. It pins by `setPins` alone.
    package func savePinRule(_ rule: PinRule) async throws(DiskError) {
        var batch = MetadataBatch()
        batch.keep(rule)
        try await bitmap.note(batch)
    }

    /// Forgets a rule, durably. What it pins ends by `removePins` alone.
    package func removePinRule(_ id: PinRuleID) async throws(DiskError) {
        var batch = MetadataBatch()
        batch.forget(id)
        try await bitmap.note(batch)
    }

    /// Puts rules for parts of what a rule pins in its place, durably and in memory: all of them, or none.
    package func replacePinRule(_ id: PinRuleID, with parts: [PinRule]) async throws(DiskError) {
        var batch = MetadataBatch()
        for part in parts { batch.keep(part) }
        batch.forget(id)
        try await bitmap.note(batch)
        await cache.replacePins(id, with: parts)
    }

    /// Why a rule pins nothing, or what it pins cannot be had; nil when nothing is wrong.
    package func pinTrouble(of id: PinRuleID) async -> PinTrouble? { await cache.pinTrouble(of: id) }

    // MARK: Bringing in

    /// Has what is pinned and not in the cache brought in, and tried again for as long as it cannot be had.
    package func wantPinned() { cache.wantPinned() }

    /// Brings back what is pinned and was lost with an unclean stop, or never came, whenever there may be some.
    func keepPinned() async {
        for await _ in cache.pinWakes {
            while !Task.isCancelled {
                let ranges = await cache.pinnedRanges
                do throws(DiskError) {
                    try await prefetch(ranges) { _ in }
                    await cache.notePinFetch(failure: nil)
                    break
                } catch {
                    await cache.notePinFetch(failure: error)
                    let isDamage = error.kind == .corrupt
                    await cache.pause(isDamage ? EngineLimits.damagedPinRetry : EngineLimits.refusedRetry)
                }
            }
        }
    }
}

/// What keeps a rule from holding.
package enum PinTrouble: Sendable, Hashable {
    /// It pins nothing; and why.
    case notInForce(String)
    /// Some of what is pinned could not be brought in yet: why, when it was tried last.
    case missing(String)

    package var sentence: String {
        switch self {
        case .notInForce(let sentence), .missing(let sentence): sentence
        }
    }
}
