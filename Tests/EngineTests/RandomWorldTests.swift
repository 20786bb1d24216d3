import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore

/// One seed = one world: random operations against a shadow in memory.
@Suite struct RandomWorldTests {
    @Test(
        "random operations give what a plain array gives",
        arguments: [UInt64(1), 2, 3, 4],
        [64 << 10, 1 << 20]
    )
    func randomOperations(seed: UInt64, chunkBytes: Int) async throws {
        var random = SeededGenerator(seed: seed)
        let diskBytes = 16 << 20
        let world = try await EngineWorld(
            diskBytes: UInt64(diskBytes),
            chunkBytes: chunkBytes,
            cacheBytes: UInt64(6 << 20)
        )
        try await world.attach()
        var shadow = [UInt8](repeating: 0, count: diskBytes)
        for step in 0..<1_000 {
            let isAligned = Bool.random(using: &random)
            var count = Int.random(in: 1...(Bool.random(using: &random) ? 8192 : 400_000), using: &random)
            var offset = Int.random(in: 0..<diskBytes, using: &random)
            if isAligned {
                offset = offset / 4096 * 4096
                count = (count + 4095) / 4096 * 4096
            }
            count = min(count, diskBytes - offset)
            let range = offset..<offset + count
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<40:
                var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count)
                bytes[Int.random(in: 0..<count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
                try await world.write(UInt64(offset), bytes)
                shadow.replaceSubrange(range, with: bytes)
            case 40..<80:
                let found = try await world.read(UInt64(offset), count)
                try #require(same(found, Array(shadow[range])), "seed \(seed) step \(step) at \(offset) + \(count)")
            case 80..<88:
                try await world.deallocate(UInt64(offset), UInt64(count))
                shadow.replaceSubrange(range, with: repeatElement(0, count: count))
            case 88..<92: try await world.flush()
            case 92..<95: try await world.disk.sync()
            case 95: _ = try await world.disk.evict(wait: Bool.random(using: &random))
            case 96..<98: try await steer(world, UInt64(offset)..<UInt64(offset + count), &random)
            case 98: Task { [disk = world.disk] in try? await disk.sync() }
            default:
                try await world.detach(commit: Bool.random(using: &random))
                try await world.attach()
            }
        }
        try await check(world, shadow, "at the end")
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        try await check(world, shadow, "from the remote alone")
        try await world.detach()
    }

    /// What people do to the cache changes nothing of what is read.
    private func steer(
        _ world: EngineWorld,
        _ range: Range<UInt64>,
        _ random: inout SeededGenerator
    ) async throws {
        let rule = PinRuleID(UInt64.random(in: 1...3, using: &random))
        for _ in 0..<3 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0: try await world.disk.prefetch([range]) { _ in }
            case 1: _ = try await world.disk.evict([range]) { _ in }
            case 2:
                try await world.disk.setPins(rule, [range])
                try await world.disk.savePinRule(PinRule(id: rule, target: .range(range), createdAt: 1))
            case 3:
                await world.disk.removePins(rule)
                try await world.disk.removePinRule(rule)
            case 4:
                let found = try await world.disk.residency(of: [range])[0]
                #expect(found.cachedBytes + found.absentBytes + found.unallocatedBytes == UInt64(range.count))
            default:
                let hard = UInt64.random(in: 4...8, using: &random) << 20
                try await world.disk.setLimits(CacheLimits(hardBytes: hard))
            }
        }
    }

    private func check(_ world: EngineWorld, _ shadow: [UInt8], _ when: String) async throws {
        for start in stride(from: 0, to: shadow.count, by: 1 << 20) {
            let found = try await world.read(UInt64(start), 1 << 20)
            try #require(same(found, Array(shadow[start..<start + (1 << 20)])), "\(when), at \(start)")
        }
    }
}
