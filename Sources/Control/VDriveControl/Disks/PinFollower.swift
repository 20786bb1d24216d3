import Logging
import VDriveEngine
import VDriveHost
import VDriveModel
import VDriveProtocol

/// Follows the files of a mounted disk that are pinned: when they grow, move on the disk, come or go, what is pinned
/// changes with them, and what is new is brought in.
///
/// ## Notes on the design
/// It looks every five seconds, or as seldom as keeps the looking under a twentieth of the time; and after a sync. A
/// look compares what `stat` says of the tree with the look before, and asks where the files lie only where that has
/// changed. A defragmentation moves files without a trace in `stat`: so one look in `looksAWholeOne` asks in any case.
///
/// 1. A rule that was forgotten stays forgotten: after each await of a look, `gone` is read again.
/// 2. What a rule pins changes only by a look that succeeded. A file that is gone pins nothing, and its rule stays:
///    many programs write a file anew and rename it into place.
/// 3. Looking ends when the disk goes: `run` is part of its steering, and each look of its `PathAsker`.
actor PinFollower {
    private struct Known {
        var fingerprint: UInt64?
        var ranges: [Range<UInt64>]?
        var problem: String?
        /// What is pinned may not be in the cache yet.
        var wantsFetch = true
        var isFetching = false
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

    /// A rule pins what was found at this fingerprint; somebody else brings it in.
    func expect(_ id: PinRuleID, _ fingerprint: UInt64?) {
        gone.remove(id)
        known[id] = Known(fingerprint: fingerprint, wantsFetch: false)
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
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let start = ContinuousClock.now
                let rules = await look()
                for (id, ranges) in rules { group.addTask { await self.fetch(id, ranges) } }
                await rest(max(Self.pause, start.duration(to: .now) * Self.restFactor))
            }
            group.cancelAll()
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

    /// - Returns: what should be brought in.
    private func look() async -> [(PinRuleID, [Range<UInt64>])] {
        guard let rules = try? await disk.pinRules() else { return [] }
        gone.formIntersection(rules.map(\.id))
        let followed = rules.filter { rule in
            if case .path = rule.target { !gone.contains(rule.id) } else { false }
        }
        guard !followed.isEmpty else { return [] }
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
            answers = try await paths.resolve(targets)
        } catch {
            if error.kind != .busy { logger.warning("pinned files cannot be followed", metadata: context(error)) }
            return []
        }
        for (rule, answer) in zip(followed, answers) { await take(answer, for: rule) }
        return fetches(followed)
    }

    private func take(_ answer: PathAsker.Resolved, for rule: PinRule) async {
        let id = rule.id
        let summary = answer.summary
        guard !gone.contains(id) else { return }
        known[id, default: Known()].problem = summary.failure?.message ?? summary.firstProblem
        // What else there is may be for the moment.
        if let failure = summary.failure, failure.kind != .notFound { return }
        guard !summary.isUnchanged else { return }
        let ranges = answer.ranges
        do throws(DiskError) {
            if known[id]?.ranges != ranges {
                try await disk.setPins(id, ranges)
                var kept = rule
                kept.resolved = Array(ranges.prefix(PinRule.resolvedMax))
                if kept != rule, !gone.contains(id) { try await disk.savePinRule(kept) }
                if known[id]?.ranges != nil || kept != rule { known[id]?.wantsFetch = true }
                known[id]?.ranges = ranges
            }
            known[id]?.fingerprint = summary.failure == nil ? summary.fingerprint : nil
        } catch {
            if known[id]?.problem != error.message { logger.warning("a pin does not hold", metadata: context(error)) }
            known[id]?.problem = error.message
            known[id]?.fingerprint = nil
        }
        guard gone.contains(id) else { return }
        // Invariant 1.
        known[id] = nil
        try? await disk.removePinRule(id)
        await disk.removePins(id)
    }

    private func context(_ error: any Error) -> Logger.Metadata { ["disk": "\(name)", "error": "\(error)"] }

    // MARK: Fetching

    private func fetches(_ rules: [PinRule]) -> [(PinRuleID, [Range<UInt64>])] {
        rules.compactMap { rule in
            guard var now = known[rule.id], now.wantsFetch, !now.isFetching, let ranges = now.ranges, !ranges.isEmpty
            else { return nil }
            now.wantsFetch = false
            now.isFetching = true
            known[rule.id] = now
            return (rule.id, ranges)
        }
    }

    private func fetch(_ id: PinRuleID, _ ranges: [Range<UInt64>]) async {
        var failure: DiskError?
        do throws(DiskError) { try await disk.prefetch(ranges) { _ in } } catch { failure = error }
        known[id]?.isFetching = false
        guard let failure, !Task.isCancelled, !gone.contains(id) else { return }
        logger.warning("pinned data cannot be brought in yet", metadata: context(failure))
        known[id]?.wantsFetch = true
        known[id]?.problem = failure.message
    }
}
