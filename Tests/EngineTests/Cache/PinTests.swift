import Foundation
import Linux
import Testing
import VDriveMetadata
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// What is pinned stays, whatever else is read and written, and through restarts.
@Suite struct PinTests {
    private static let chunkBytes = 256 << 10
    private static let rule = PinRuleID(1)
    /// Two MiB, and two scattered pages.
    private static let pinned: [Range<UInt64>] = [
        1 << 20..<3 << 20, 10 << 20 + 100..<10 << 20 + 200, 12 << 20..<12 << 20 + 4096,
    ]

    /// 32 MiB on a remote whose calls are counted, under a cache of 8 MiB that holds nothing of them.
    private func coldWorld() async throws -> (EngineWorld, FaultyStore, [UInt8]) {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(
            store: store,
            diskBytes: 64 << 20,
            chunkBytes: Self.chunkBytes,
            cacheBytes: 8 << 20
        )
        try await world.attach()
        let bytes = VerificationTests.noise(32 << 20, seed: 3)
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try await world.write(UInt64(start), Array(bytes[start..<start + 1 << 20]))
        }
        _ = try await world.disk.evict(wait: true)
        return (world, store, bytes)
    }

    private func scan(_ world: EngineWorld, _ bytes: [UInt8]) async throws {
        for start in stride(from: 0, to: bytes.count, by: 128 << 10) {
            let found = try await world.read(UInt64(start), 128 << 10)
            try #require(same(found, Array(bytes[start..<start + 128 << 10])), "at \(start)")
        }
    }

    /// - Returns: how often the remote was asked for a chunk while the pinned ranges were read.
    private func fetches(_ world: EngineWorld, _ store: FaultyStore, _ bytes: [UInt8]) async throws -> Int {
        // Read-ahead of what was read before may still be under way.
        var before = -1
        try await eventually {
            defer { before = store.calls(of: .get) }
            try await Task.sleep(for: .milliseconds(300))
            return before == store.calls(of: .get)
        }
        for range in Self.pinned {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: 4096) {
                let count = Int(min(4096, range.upperBound - start))
                let found = try await world.read(start, count)
                try #require(same(found, Array(bytes[Int(start)..<Int(start) + count])))
            }
        }
        return store.calls(of: .get) - before
    }

    @Test("a scan of four times the cache leaves the pinned pages alone; without the rule they go")
    func underPressure() async throws {
        let (world, store, bytes) = try await coldWorld()
        try await world.disk.setPins(Self.rule, Self.pinned)
        try await world.disk.prefetch(Self.pinned) { _ in }
        for _ in 0..<2 {
            try await scan(world, bytes)
            #expect(try await fetches(world, store, bytes) == 0)
        }
        let found = try await world.disk.residency(of: Self.pinned)
        for (range, answer) in zip(Self.pinned, found) {
            #expect(answer.cachedBytes == UInt64(range.count) && answer.pinnedBytes == UInt64(range.count))
        }
        // What is written over a pin is as safe.
        try await world.write(2 << 20, [UInt8](repeating: 9, count: 4096))
        var changed = bytes
        changed.replaceSubrange(2 << 20..<2 << 20 + 4096, with: repeatElement(9, count: 4096))
        try await world.disk.sync()
        try await scan(world, changed)
        #expect(try await fetches(world, store, changed) == 0)
        _ = try await world.disk.evict(wait: true)
        #expect(try await fetches(world, store, changed) == 0)
        #expect(await world.disk.status().usedBytes <= 3 << 20, "what is not pinned of pinned chunks has gone, too")

        await world.disk.removePins(Self.rule)
        try await scan(world, changed)
        #expect(try await fetches(world, store, changed) > 0)
        try await world.detach()
    }

    @Test("rules survive a restart and a crash; what a crash took away comes back by itself")
    func restarts() async throws {
        let (world, store, bytes) = try await coldWorld()
        let ranges = Self.pinned
        let rules = [
            PinRule(id: PinRuleID(1), target: .range(ranges[0]), createdAt: 1),
            PinRule(
                id: PinRuleID(2),
                target: .path("/films/ä.mkv", isRecursive: true, hasMetadata: false),
                createdAt: 2,
                resolved: Array(ranges[1...])
            ),
            PinRule(id: PinRuleID(3), target: .range(20 << 20..<21 << 20), createdAt: 3),
        ]
        for rule in rules { try await world.disk.savePinRule(rule) }
        try await world.disk.removePinRule(PinRuleID(3))
        for restart in 0..<3 {
            if restart == 1 { try await world.crash() } else { try await world.detach() }
            if restart == 2 {
                // Another machine wrote: the map is read anew, the rules stay.
                let other = try await EngineWorld(store: store, diskBytes: 64 << 20, chunkBytes: Self.chunkBytes)
                try await other.attach()
                try await other.write(40 << 20, [1])
                try await other.detach()
            }
            try await world.attach()
            #expect(try await world.disk.pinRules() == Array(rules[..<2]))
            try await eventually {
                let found = try await world.disk.residency(of: ranges)
                return zip(ranges, found).allSatisfy { $1.cachedBytes == UInt64($0.count) }
            }
            try await scan(world, bytes)
            #expect(try await fetches(world, store, bytes) == 0, "restart \(restart)")
        }
        try await world.detach()
    }

    @Test("pins that would leave no room are refused, with what they need; at a start they are left out with a warning")
    func tooMuch() async throws {
        let (world, _, _) = try await coldWorld()
        try await world.disk.setPins(Self.rule, [0..<6 << 20])
        do {
            try await world.disk.setPins(PinRuleID(2), [5 << 20..<9 << 20])
            Issue.record("nine MiB were pinned in a cache of eight")
        } catch {
            #expect(error.kind == .outOfSpace && error.message.contains("\(10 << 20)"), "\(error)")
        }
        #expect(await world.disk.status().pinnedBytes == 6 << 20)
        // The same pages under two rules count once.
        try await world.disk.setPins(PinRuleID(2), [0..<6 << 20])
        await world.disk.removePins(Self.rule)
        #expect(await world.disk.status().pinnedBytes == 6 << 20)
        try await world.disk.savePinRule(PinRule(id: Self.rule, target: .range(0..<1 << 20), createdAt: 1))
        try await world.disk.savePinRule(PinRule(id: PinRuleID(3), target: .range(0..<30 << 20), createdAt: 2))
        try await world.detach()
        try await world.attach()
        let status = await world.disk.status()
        #expect(status.pinnedBytes == 1 << 20)
        #expect(status.warnings.contains { $0.contains("1 pin rule is not in force") }, "\(status.warnings)")
        #expect(await world.disk.pinTrouble(of: Self.rule) == nil)
        guard case .notInForce(let sentence)? = await world.disk.pinTrouble(of: PinRuleID(3)) else {
            Issue.record("nothing is said of a rule that pins nothing")
            return
        }
        #expect(sentence.contains("needs a cache of at least"), "\(sentence)")

        // With more room it comes into force by itself, and what it pins comes in.
        var limits = await world.disk.limits
        limits.hardBytes = 48 << 20
        try await world.disk.setLimits(limits)
        #expect(await world.disk.status().pinnedBytes == 30 << 20)
        #expect(await world.disk.status().warnings.isEmpty)
        try await eventually { try await world.disk.residency(of: [0..<30 << 20])[0].cachedBytes == 30 << 20 }
        #expect(await world.disk.pinTrouble(of: PinRuleID(3)) == nil)
        try await world.detach()
    }

    @Test("a rule that does not fit comes into force when others go, and its warning ends with it")
    func leftOut() async throws {
        let (world, _, _) = try await coldWorld()
        for (id, start) in [(1, 0), (2, 6), (3, 12)] as [(UInt64, UInt64)] {
            let range = start << 20..<(start + 5) << 20
            try await world.disk.savePinRule(PinRule(id: PinRuleID(id), target: .range(range), createdAt: id))
        }
        try await world.detach()
        try await world.attach()
        #expect(await world.disk.status().pinnedBytes == 5 << 20)
        #expect(await world.disk.status().warnings.contains { $0.contains("2 pin rules are not in force") })
        // Of one that is not in force a part is left: it is not in force either, and not forgotten.
        let rest = PinRule(id: PinRuleID(4), target: .range(6 << 20..<10 << 20), createdAt: 2)
        try await world.disk.replacePinRule(PinRuleID(2), with: [rest])
        #expect(await world.disk.status().pinnedBytes == 5 << 20)
        try await world.disk.removePinRule(PinRuleID(1))
        await world.disk.removePins(PinRuleID(1))
        #expect(await world.disk.status().pinnedBytes == 5 << 20, "the other one has come into force")
        #expect(await world.disk.status().warnings.contains { $0.contains("1 pin rule is not in force") })
        try await world.disk.removePinRule(PinRuleID(4))
        await world.disk.removePins(PinRuleID(4))
        #expect(await world.disk.status().warnings.isEmpty)
        try await world.detach()
    }

    @Test("a rule is cut into parts also when what is pinned has become too much; both are durable or neither")
    func cut() async throws {
        let (world, _, _) = try await coldWorld()
        let rule = PinRule(id: Self.rule, target: .range(0..<6 << 20), createdAt: 1)
        try await world.disk.savePinRule(rule)
        try await world.disk.setPins(rule.id, rule.ranges)
        // As when others have filled the filesystem.
        await world.disk.cache.hold(to: 4 << 20)
        let parts = [
            PinRule(id: PinRuleID(2), target: .range(0..<1 << 20), createdAt: 1),
            PinRule(id: PinRuleID(3), target: .range(2 << 20..<6 << 20), createdAt: 1),
        ]
        try await world.disk.replacePinRule(rule.id, with: parts)
        #expect(await world.disk.status().pinnedBytes == 5 << 20)
        #expect(try await world.disk.pinRules() == parts)
        try await world.detach()
        try await world.attach()
        #expect(try await world.disk.pinRules() == parts)
        try await world.detach()
    }

    @Test("pinned data that cannot be had is said, and comes by itself when it can")
    func laterFetch() async throws {
        let (world, store, _) = try await coldWorld()
        try await world.disk.setPins(Self.rule, Self.pinned)
        store.add(.init(.get, nameContains: "blocks/", .failBefore(StoreError(.forbidden, "not now"))))
        world.disk.wantPinned()
        try await eventually { await world.disk.pinTrouble(of: Self.rule) != nil }
        store.clear()
        try await eventually {
            let found = try await world.disk.residency(of: Self.pinned)
            return zip(Self.pinned, found).allSatisfy { $1.cachedBytes == UInt64($0.count) }
        }
        try await eventually { await world.disk.pinTrouble(of: Self.rule) == nil }
        try await world.detach()
    }

    @Test("a trimmed pin costs nothing, and holds what is written there later")
    func trimmedPin() async throws {
        let (world, store, bytes) = try await coldWorld()
        try await world.disk.setPins(Self.rule, Self.pinned)
        try await world.deallocate(1 << 20, 2 << 20)
        try await world.disk.sync()
        #expect(try await world.disk.residency(of: [1 << 20..<3 << 20])[0].unallocatedBytes == 2 << 20)
        try await world.write(1 << 20, Array(bytes[1 << 20..<3 << 20].prefix(1 << 20)))
        try await world.write(2 << 20, Array(bytes[2 << 20..<3 << 20]))
        try await world.disk.sync()
        try await world.disk.prefetch(Self.pinned) { _ in }
        try await scan(world, bytes)
        #expect(try await fetches(world, store, bytes) == 0)
        try await world.detach()
    }

    @Test("the merged pins are what a plain set of pages says", arguments: [UInt64(1), 2, 3])
    func mergedPins(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var pins = PinSet(pagesPerChunk: 16)
        var plain: [PinRuleID: Set<UInt64>] = [:]
        var (before, allBefore) = (pins, Set<UInt64>())
        for _ in 0..<200 {
            let rule = PinRuleID(UInt64.random(in: 1...5, using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 {
                pins = pins.replacing(rule, with: nil)
                plain[rule] = nil
            } else {
                let stretches = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    let start = UInt64.random(in: 0..<160, using: &random)
                    return start..<start + UInt64.random(in: 0...20, using: &random)
                }
                pins = pins.replacing(rule, with: stretches)
                plain[rule] = Set(stretches.flatMap { Array($0) })
            }
            let all = plain.values.reduce(into: Set<UInt64>()) { $0.formUnion($1) }
            let changed = pins.difference(from: before)
            #expect(PinSet.merge(changed) == changed)
            #expect(Set(changed.flatMap { Array($0) }) == all.symmetricDifference(allBefore))
            #expect(before.difference(from: pins) == changed)
            (before, allBefore) = (pins, all)
            #expect(pins.pageCount == UInt64(all.count))
            var visited: [ChunkIndex] = []
            pins.forEachChunk { visited.append($0) }
            #expect(visited == Set(all.map { ChunkIndex($0 / 16) }).sorted())
            for chunk in 0..<12 as Range<UInt64> {
                let found = pins.pages(of: ChunkIndex(chunk))
                let expected = all.filter { $0 / 16 == chunk }
                #expect(
                    found.map { set in (0..<16).filter { set.contains($0) } } ?? []
                        == expected.map { Int($0 % 16) }.sorted()
                )
                #expect((found == nil) == expected.isEmpty)
            }
        }
    }
}

extension CacheActor {
    /// The next look at the filesystem sets the limit anew.
    fileprivate func hold(to bytes: UInt64) { limitBytes = bytes }
}
