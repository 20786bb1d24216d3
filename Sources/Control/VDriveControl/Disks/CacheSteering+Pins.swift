import Glibc
import VDriveEngine
import VDriveHost
import VDriveModel
import VDriveProtocol

/// What stays in the cache.
extension CacheSteering {
    /// A rule, and what it pins now.
    private struct Wanted {
        var rule: PinRule
        let isNew: Bool
        let ranges: [Range<UInt64>]
        /// Of a path.
        var found: PathAsker.Resolved?
    }

    /// Makes rules, and brings in what they pin. When the fetching is cancelled, the rules are there all the same.
    ///
    /// - Parameter waits: otherwise the fetching is a job of its own.
    func pin(waits: Bool, _ job: JobHandle) async throws(RPCError) -> CachePin.Output {
        let found = try await find(job)
        let wanted = try await wanted(found)
        guard job.settle() else { throw JobHandle.cancelled }
        try await keep(wanted)
        var fetching: Job?
        if waits {
            try await fetchPins(found.ranges, job)
        } else {
            fetching = try job.registry.start(.cachePrefetch, disk: name.text, most: nil) { next in
                do throws(RPCError) {
                    try await fetchPins(found.ranges, next)
                    let output = CachePrefetch.Output(found: found.summary)
                    guard let result = try? JSONValue(encoding: output) else { return .success("null") }
                    return .success(result.text)
                } catch {
                    return .failure(error)
                }
            }
        }
        var rules: [CacheRule] = []
        for one in wanted { rules.append(try await describe(one.rule, one.ranges)) }
        return CachePin.Output(rules: rules, job: fetching?.id, found: found.summary)
    }

    /// What cannot be had now is tried again by the disk, unless somebody wants it to end.
    private func fetchPins(_ ranges: [Range<UInt64>], _ job: JobHandle) async throws(RPCError) {
        do throws(RPCError) {
            try await fetch(ranges, job)
        } catch {
            if !job.isAsked { disk.wantPinned() }
            throw error
        }
    }

    private func wanted(_ found: Found) async throws(RPCError) -> [Wanted] {
        let known = try await asking { () async throws(DiskError) in try await disk.pinRules() }
        var generator = SystemRandomNumberGenerator()
        let now = UInt64(max(0, time(nil)))
        func rule(_ target: PinRule.Target) -> (PinRule, isNew: Bool) {
            if let same = known.first(where: { $0.target == target }) { return (same, false) }
            return (PinRule(id: PinRuleID(using: &generator), target: target, createdAt: now), true)
        }
        var wanted: [Wanted] = []
        if case .files(let targets, let asker) = scope.part {
            for (target, file) in zip(targets, found.files) {
                var (rule, isNew) = rule(asker.target(target))
                rule.resolved = Array(file.ranges.prefix(PinRule.resolvedMax))
                wanted.append(Wanted(rule: rule, isNew: isNew, ranges: file.ranges, found: file))
            }
        } else {
            for range in found.ranges {
                let (rule, isNew) = rule(.range(range))
                wanted.append(Wanted(rule: rule, isNew: isNew, ranges: [range]))
            }
        }
        try Self.check(known.count + wanted.count(where: \.isNew), name)
        return wanted
    }

    /// Makes the rules hold, in memory and durably: all of them, or none of the new ones.
    private func keep(_ wanted: [Wanted]) async throws(RPCError) {
        var kept: [PinRule] = []
        do throws(RPCError) {
            for one in wanted {
                if let found = one.found { await scope.attached.pins?.expect(one.rule.id, found) }
                if one.isNew { kept.append(one.rule) }
                try await asking { () async throws(DiskError) in
                    try await disk.setPins(one.rule.id, one.ranges)
                    try await disk.savePinRule(one.rule)
                }
            }
        } catch {
            for rule in kept { try? await drop(rule) }
            throw error
        }
    }

    private func drop(_ rule: PinRule) async throws(RPCError) {
        await scope.attached.pins?.forget(rule.id)
        try await asking { () async throws(DiskError) in
            try await disk.removePinRule(rule.id)
            await disk.removePins(rule.id)
        }
    }

    // MARK: Letting go

    /// - Throws: `notFound` when nothing of it is pinned; `refused` for a file that a folder's rule pins.
    func unpin(_ target: CacheTarget) async throws(RPCError) -> CacheUnpin.Output {
        let rules = try await asking { () async throws(DiskError) in try await disk.pinRules() }
        var count = 0
        switch scope.part {
        case .whole:
            for rule in rules { try await drop(rule) }
            count = rules.count
        case .ranges(let ranges):
            count = try await cut(rules, by: ranges)
        case .files(let targets, let asker):
            // A disk's name, with metadata, stands for all of its files.
            let isRecursive = target.recursive == true || target.name != nil
            let leaving = rules.filter { rule in
                targets.contains { asker.matches(rule, $0, isRecursive: isRecursive) }
            }
            for rule in leaving { try await drop(rule) }
            count = leaving.count
            if count == 0, let cover = rules.lazy.compactMap({ asker.cover($0, targets) }).first {
                throw RPCError(.refused, "It is pinned with all of \(cover); unpin that, or nothing of it.")
            }
        }
        guard count > 0 else { throw RPCError(.notFound, "Nothing of it is pinned; see vdrivectl cache pins \(name).") }
        return CacheUnpin.Output(rules: count)
    }

    /// Takes ranges out of the rules for ranges; what is left of them stays pinned.
    ///
    /// - Returns: of how many rules anything was taken.
    private func cut(_ rules: [PinRule], by ranges: [Range<UInt64>]) async throws(RPCError) -> Int {
        var generator = SystemRandomNumberGenerator()
        let cuts = rules.compactMap { rule -> (id: PinRuleID, parts: [PinRule])? in
            guard case .range(let range) = rule.target, ranges.contains(where: range.overlaps) else { return nil }
            let left = ranges.reduce([range]) { left, taken in left.flatMap { $0.without(taken) } }
            let parts = left.map {
                PinRule(id: PinRuleID(using: &generator), target: .range($0), createdAt: rule.createdAt)
            }
            return (rule.id, parts)
        }
        try Self.check(rules.count + cuts.reduce(0) { $0 + $1.parts.count - 1 }, name)
        for cut in cuts {
            try await asking { () async throws(DiskError) in try await disk.replacePinRule(cut.id, with: cut.parts) }
        }
        return cuts.count
    }

    private static func check(_ count: Int, _ name: DiskName) throws(RPCError) {
        guard count > RPCLimits.pinRulesMax else { return }
        throw RPCError(
            .refused,
            "The disk \(name) would have more than \(RPCLimits.pinRulesMax) pin rules; "
                + "pin a folder with --recursive in place of its files, or unpin others."
        )
    }

    // MARK: Telling

    func pins() async throws(RPCError) -> [CacheRule] {
        var rules: [CacheRule] = []
        for rule in try await asking({ () async throws(DiskError) in try await disk.pinRules() }) {
            rules.append(try await describe(rule, rule.ranges))
        }
        return rules
    }

    private func describe(_ rule: PinRule, _ ranges: [Range<UInt64>]) async throws(RPCError) -> CacheRule {
        var answer = CacheRule(id: rule.id.description, disk: name.text, createdAt: rule.createdAt)
        switch rule.target {
        case .range(let range):
            answer.offset = range.lowerBound
            answer.length = range.upperBound - range.lowerBound
        case .path(let path, let isRecursive, let hasMetadata):
            answer.path = scope.attached.volume?.paths.absolute(path) ?? path
            answer.recursive = isRecursive
            answer.metadata = hasMetadata
        }
        let residency = try await residency(of: ranges)
        answer.pinnedBytes = ranges.bytes
        answer.missingBytes = residency.absentBytes
        answer.problem = await scope.attached.pins?.problem(of: rule.id)
        switch await disk.pinTrouble(of: rule.id) {
        case .notInForce(let sentence)?:
            answer.pinnedBytes = 0
            answer.problem = sentence
        case .missing(let sentence)? where residency.absentBytes > 0: answer.problem = answer.problem ?? sentence
        case .missing?, nil: break
        }
        return answer
    }

    private func asking<Answer: Sendable>(
        _ body: () async throws(DiskError) -> Answer
    ) async throws(RPCError) -> Answer {
        do throws(DiskError) { return try await body() } catch { throw RPCError(error) }
    }
}

extension PathAsker {
    /// A path as a rule keeps it: the disk may be mounted elsewhere next time.
    fileprivate func target(_ target: PathQuestion.Target) -> PinRule.Target {
        .path(
            relative(target.path) ?? target.path,
            isRecursive: target.isRecursive,
            hasMetadata: target.isMetadata
        )
    }

    /// Whether a rule goes with a target: that of the same path, or one below it. For what a target asks for of
    /// metadata, only metadata goes.
    fileprivate func matches(_ rule: PinRule, _ target: PathQuestion.Target, isRecursive: Bool) -> Bool {
        guard case .path(let path, _, let hasMetadata) = rule.target, let asked = relative(target.path),
            hasMetadata || !target.isMetadata
        else { return false }
        return path.isSamePath(as: asked) || (isRecursive && (asked == "/" || path.isBelow(asked)))
    }

    /// The folder by whose rule a target's content, or its metadata, is pinned; nil when it is not.
    fileprivate func cover(_ rule: PinRule, _ targets: [PathQuestion.Target]) -> String? {
        guard case .path(let path, isRecursive: true, let hasMetadata) = rule.target else { return nil }
        let isAbove = targets.contains { target in
            guard target.isMetadata == hasMetadata, let asked = relative(target.path) else { return false }
            return path == "/" || asked.isBelow(path)
        }
        return isAbove ? absolute(path) : nil
    }
}

extension Range<UInt64> {
    /// What is left of it.
    fileprivate func without(_ other: Self) -> [Self] {
        guard overlaps(other) else { return [self] }
        let common = clamped(to: other)
        return [lowerBound..<common.lowerBound, common.upperBound..<upperBound].filter { !$0.isEmpty }
    }
}
