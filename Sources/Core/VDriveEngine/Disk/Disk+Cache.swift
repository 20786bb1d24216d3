package import VDriveModel

/// What people steer of the cache. Byte ranges are the disk's, and clamped to it: what brings in or pins takes every
/// page that a range touches, what evicts takes only pages that lie in it whole.
extension Disk {
    /// What of each range is where, exact to the page. From memory and local metadata; the remote is asked only for
    /// nodes of the map that are not here.
    package func residency(of ranges: [Range<UInt64>]) async throws(DiskError) -> [RangeResidency] {
        throw DiskError(.internal, "residency")
    }

    /// Brings ranges in. Room is made as for reads; what cannot be had because all else is dirty or pinned is waited
    /// for a while. Can be cancelled between chunks.
    ///
    /// - Parameter progress: gets the bytes done so far, one call at a time.
    /// - Throws: `busy` when cancelled, `outOfSpace` when no room came to be; what was fetched until then stays.
    package func prefetch(
        _ ranges: [Range<UInt64>],
        progress: @Sendable (UInt64) async -> Void
    ) async throws(DiskError) {
        throw DiskError(.internal, "prefetch")
    }

    /// Uploads what is dirty, then drops what of the ranges is neither pinned nor written again meanwhile.
    package func evict(
        _ ranges: [Range<UInt64>],
        progress: @Sendable (UInt64) async -> Void
    ) async throws(DiskError) -> EvictedRanges {
        throw DiskError(.internal, "evict")
    }

    // MARK: Pins

    /// Replaces what one rule pins, at once and in memory alone.
    ///
    /// - Throws: `outOfSpace`, with how much is needed, when the pins of all rules would leave no room for the rest;
    ///   nothing is changed then.
    package func setPins(_ rule: PinRuleID, _ ranges: [Range<UInt64>]) async throws(DiskError) {
        throw DiskError(.internal, "pins")
    }

    /// Ends what one rule pins, in memory alone; unknown rules are no error.
    package func removePins(_ rule: PinRuleID) async {}

    /// The rules that this machine keeps, by their creation.
    package func pinRules() async throws(DiskError) -> [PinRule] { throw DiskError(.internal, "pins") }

    /// Keeps a rule, or replaces it, durably. It pins by `setPins` alone.
    package func savePinRule(_ rule: PinRule) async throws(DiskError) { throw DiskError(.internal, "pins") }

    /// Forgets a rule, durably. What it pins ends by `removePins` alone.
    package func removePinRule(_ id: PinRuleID) async throws(DiskError) { throw DiskError(.internal, "pins") }

    // MARK: Limits

    package var limits: CacheLimits { get async { CacheLimits(hardBytes: options.cacheBytes) } }

    /// Changes the limits from now on; lowering evicts down to them in the background.
    ///
    /// - Throws: `outOfSpace`, with how much is needed, when what is pinned would not fit; nothing is changed then.
    package func setLimits(_ limits: CacheLimits) async throws(DiskError) { throw DiskError(.internal, "limits") }
}
