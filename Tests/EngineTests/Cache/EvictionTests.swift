import Synchronization
import Testing
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// What evictions on somebody's request cost, and that they end.
@Suite struct EvictionTests {
    private static let chunkBytes = 64 << 10

    /// A disk of clean chunks that are all in the cache.
    private func world(mebibytes: Int) async throws -> EngineWorld {
        let world = try await EngineWorld(
            diskBytes: UInt64(mebibytes) << 20,
            chunkBytes: Self.chunkBytes,
            cacheBytes: 256 << 20,
            uploadInterval: .seconds(3600)
        )
        try await world.attach()
        let bytes = VerificationTests.noise(1 << 20, seed: 4)
        for start in 0..<mebibytes { try await world.write(UInt64(start) << 20, bytes) }
        try await world.disk.sync()
        return world
    }

    @Test("many scattered ranges are forgotten together, and none of their neighbours")
    func scattered() async throws {
        let world = try await world(mebibytes: 8)
        let disk = world.disk
        // Two pages of each eight: eight ranges of a chunk of 16 pages share one step, whatever their order.
        let ranges = (0..<256).map { number in
            let start = UInt64(number) * 8 * 4096
            return start..<start + 8192
        }
        let steps = Mutex<[UInt64]>([])
        let before = await disk.bitmap.lastTransaction
        let result = try await disk.evict(ranges.reversed()) { done in steps.withLock { $0.append(done) } }
        let commits = await disk.bitmap.lastTransaction - before
        #expect(commits <= 2, "\(commits) commits for \(ranges.count) ranges")
        #expect(result.evictedBytes == 256 * 8192 && result.dirtyBytes == 0 && result.pinnedBytes == 0, "\(result)")
        let told = steps.withLock { $0 }
        #expect(told.last == 256 * 8192 && told == told.sorted(), "\(told)")
        for residency in try await disk.residency(of: ranges) { #expect(residency.cachedBytes == 0) }
        let rest = try await disk.residency(of: [0..<8 << 20])[0]
        #expect(rest.cachedBytes == (8 << 20) - 256 * 8192, "\(rest)")
        let bytes = VerificationTests.noise(1 << 20, seed: 4)
        for start in 0..<8 as Range<UInt64> { #expect(try await same(world.read(start << 20, 1 << 20), bytes)) }
        try await world.detach()
    }

    @Test("emptying the cache ends, whatever is read meanwhile")
    func endsUnderLoad() async throws {
        let world = try await world(mebibytes: 40)
        let steps = Mutex(0)
        // After each step all that has left is read again: whoever goes on until nothing is left never ends.
        let freed = try await world.disk.evict(wait: false) { _, _ in
            let step = steps.withLock { steps in
                steps += 1
                return steps
            }
            guard step < 20 else { return }
            for start in 0..<40 as Range<UInt64> { _ = try? await world.read(start << 20, 1 << 20) }
        }
        #expect(freed == 40 << 20, "what was there at the start")
        #expect(steps.withLock { $0 } == 4, "one at the start, and one for each 256 chunks of 640")
        #expect(try await world.disk.residency(of: [0..<40 << 20])[0].cachedBytes > 0, "what was read meanwhile stays")
        try await world.detach()
    }

    @Test("emptying the cache tells its bytes, and is cancelled between two steps")
    func cancelled() async throws {
        let world = try await world(mebibytes: 40)
        let bytes: UInt64 = 40 << 20
        let (steps, source) = AsyncStream.makeStream(of: (done: UInt64, total: UInt64).self)
        let task = Task {
            try await world.disk.evict(wait: false) { done, total in
                source.yield((done, total))
                // Until somebody has cancelled.
                if done > 0 { while !Task.isCancelled { await Task.yield() } }
            }
        }
        for await step in steps {
            #expect(step.total == bytes)
            if step.done > 0 { break }
        }
        task.cancel()
        await #expect(throws: DiskError.self) { try await task.value }
        let cached = try await world.disk.residency(of: [0..<bytes])[0].cachedBytes
        #expect(cached > 0 && cached < bytes, "\(cached) bytes are left")
        #expect(try await world.disk.evict(wait: false) == cached)
        #expect(try await world.disk.residency(of: [0..<bytes])[0].cachedBytes == 0)
        try await world.detach()
    }

    @Test("what an unclean stop left goes without a check, but for what is pinned")
    func unverified() async throws {
        let world = try await EngineWorld(diskBytes: 8 << 20, chunkBytes: 1 << 20)
        try await world.attach()
        let bytes = VerificationTests.noise(1 << 20, seed: 4)
        for chunk in 0..<8 as Range<UInt64> { try await world.write(chunk << 20, bytes) }
        try await world.disk.sync()
        try await world.flush()
        let rule = PinRule(id: PinRuleID(1), target: .range(0..<1 << 20), createdAt: 1)
        try await world.disk.savePinRule(rule)
        try await world.crash()
        try await world.attach()
        _ = try await world.disk.evict(wait: false)
        let residency = try await world.disk.residency(of: [0..<1 << 20, 1 << 20..<8 << 20])
        #expect(residency[0].cachedBytes == 1 << 20 && residency[1].cachedBytes == 0, "\(residency)")
        for chunk in 0..<8 as Range<UInt64> { #expect(try await same(world.read(chunk << 20, 1 << 20), bytes)) }
        try await world.detach()
    }
}
