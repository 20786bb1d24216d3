import Logging
import VDriveEngine
import VDriveHost
import VDriveModel
import VDriveProtocol

/// Follows the files of a mounted disk that are pinned: when they grow, move on the disk, come or go, what is pinned
/// changes with them, and the disk brings in what is new.
///
/// ## Notes on the design
/// It looks every five seconds, or as seldom as keeps the looking under a twentieth of the time; and after a sync. A
/// look compares what `stat` says of the tree with the look before, and asks where the files lie only where that has
/// changed. A defragmentation moves files without a trace in `stat`: so one look in `looksAWholeOne` asks in any case.
///
/// 1. A rule that was forgotten stays forgotten: after each await of a look, `gone` is read again.
/// 2. What a rule pins becomes less only by a look that saw all of it: what could not be read is there all the same. A
///    file that is gone pins nothing, and its rule stays: many programs write a file anew and rename it into place.
/// 3. A look makes nobody write: what has no place on the disk yet is pinned when it has one.
/// 4. Looking ends when the disk goes: `run` is part of its steering, and each look of its `PathAsker`.
actor PinFollower {
    private struct Known {
        /// Nil when the next look is to ask for every place.
        var fingerprint: UInt64?
        var ranges: [Range<UInt64>]?
        var problem: String?
    }

    private static let pause = Duration.seconds(5)
    /// The pause is so many times as long as the last look took.
    private static let restFactor = 20
    private static let looksAWholeOne = 12

    private let name: DiskName
    private let disk: Disk
    private let paths: PathAsker
    private let logger: Logger
    private var known: [PinRuleID: Known] = [:]
    private var gone: Set<PinRuleID> = []
    private var looks = 0
    /// The pause between two looks.
    private var sleep: Task<Void, Never>?
    private var isWoken = false

    init(name: DiskName, disk: Disk, paths: PathAsker, logger: Logger) {
        self.name = name
        self.disk = disk
        self.paths = paths
        self.logger = logger
    }

    /// Looks at once, or once more after a look that is under way.
    func wake() {
        isWoken = true
        sleep?.cancel()
    }

    /// A rule pins what somebody else has found.
    func expect(_ id: PinRuleID, _ found: PathAsker.Resolved) {
        gone.remove(id)
        known[id] = Known(
            fingerprint: found.summary.settledFingerprint,
            ranges: found.ranges,
            problem: found.summary.firstProblem
        )
    }

    /// A rule is about to be removed.
    func forget(_ id: PinRuleID) {
        gone.insert(id)
        known[id] = nil
    }

    /// Why a rule does not pin what it should, if it does not.
    func problem(of id: PinRuleID) -> String? { known[id]?.problem }

    /// Follows until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            let start = ContinuousClock.now
            await look()
            await rest(max(Self.pause, start.duration(to: .now) * Self.restFactor))
        }
    }

    private func rest(_ pause: Duration) async {
        if !isWoken {
            let sleep = Task { _ = try? await Task.sleep(for: pause) }
            self.sleep = sleep
            await withTaskCancellationHandler {
                await sleep.value
            } onCancel: {
                sleep.cancel()
            }
            self.sleep = nil
        }
        isWoken = false
    }

    // MARK: Looking

    private func look() async {
        guard let rules = try? await disk.pinRules() else { return }
        gone.formIntersection(rules.map(\.id))
        let followed = rules.filter { rule in
            if case .path = rule.target { !gone.contains(rule.id) } else { false }
        }
        guard !followed.isEmpty else { return }
        looks += 1
        let isWhole = looks.isMultiple(of: Self.looksAWholeOne)
        let targets = followed.compactMap { rule -> PathQuestion.Target? in
            guard case .path(let path, let isRecursive, let hasMetadata) = rule.target else { return nil }
            return PathQuestion.Target(
                path: paths.absolute(path),
                isRecursive: isRecursive,
                isMetadata: hasMetadata,
                fingerprint: isWhole ? nil : known[rule.id]?.fingerprint
            )
        }
        let answers: [PathAsker.Resolved]
        do throws(PathAnswer.Failure) {
            answers = try await paths.resolve(targets, writingOut: .nothing)
        } catch {
            if error.kind != .busy { logger.warning("pinned files cannot be followed", metadata: context(error)) }
            return
        }
        for (rule, answer) in zip(followed, answers) { await take(answer, for: rule) }
    }

    private func take(_ answer: PathAsker.Resolved, for rule: PinRule) async {
        let id = rule.id
        let summary = answer.summary
        guard !gone.contains(id) else { return }
        // Nothing has changed since a look that saw all, and its problem is still the one.
        guard !summary.isUnchanged else { return }
        known[id, default: Known()].problem = summary.failure?.message ?? summary.firstProblem
        known[id]?.fingerprint = nil
        // What else there is may be for the moment.
        if let failure = summary.failure, failure.kind != .notFound { return }
        var ranges = answer.ranges
        if summary.skipped > 0 {
            var all = DiskRanges()
            for range in ranges + (known[id]?.ranges ?? rule.resolved) { all.insert(range) }
            ranges = all.merged()
        }
        do throws(DiskError) {
            if known[id]?.ranges != ranges {
                try await disk.setPins(id, ranges)
                var kept = rule
                kept.resolved = Array(ranges.prefix(PinRule.resolvedMax))
                if kept != rule, !gone.contains(id) { try await disk.savePinRule(kept) }
                if known[id]?.ranges != nil || kept != rule { disk.wantPinned() }
                known[id]?.ranges = ranges
            }
            if summary.failure == nil { known[id]?.fingerprint = summary.settledFingerprint }
        } catch {
            if known[id]?.problem != error.message { logger.warning("a pin does not hold", metadata: context(error)) }
            known[id]?.problem = error.message
        }
        guard gone.contains(id) else { return }
        // Invariant 1.
        known[id] = nil
        try? await disk.removePinRule(id)
        await disk.removePins(id)
    }

    private func context(_ error: any Error) -> Logger.Metadata { ["disk": "\(name)", "error": "\(error)"] }
}

extension PathAnswer.Summary {
    /// The fingerprint of a tree that was seen whole, and in which nothing gets another place by itself.
    fileprivate var settledFingerprint: UInt64? { skipped == 0 && unplacedBytes == 0 ? fingerprint : nil }
}
