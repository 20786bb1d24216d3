import Foundation
import Linux
import Synchronization
import Testing
import VDriveMetadata
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// Ranges brought in, evicted and asked about, exact to the page.
@Suite struct RangeTests {
    private static let chunkBytes = 1 << 20

    private func world(
        _ store: any ObjectStore,
        chunkBytes: Int = Self.chunkBytes
    ) async throws -> (EngineWorld, [UInt8]) {
        let world = try await EngineWorld(store: store, diskBytes: 64 << 20, chunkBytes: chunkBytes)
        try await world.attach()
        let bytes = VerificationTests.noise(8 << 20, seed: 4)
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try await world.write(UInt64(start), Array(bytes[start..<start + 1 << 20]))
        }
        try await world.disk.sync()
        return (world, bytes)
    }

    @Test("a range inside a chunk goes page by page: pins and neighbours stay, what is dirty goes up first")
    func evictInside() async throws {
        let store = FaultyStore(MemoryStore())
        let (world, bytes) = try await world(store)
        try await world.disk.setPins(PinRuleID(1), [100 * 4096..<101 * 4096])
        let patch = [UInt8](repeating: 7, count: 4096)
        try await world.write(90 * 4096, patch)
        // Not whole pages: the first and the last stay.
        let range = UInt64(80 * 4096 + 1)..<UInt64(120 * 4096 + 1)
        let before = await world.disk.status().usedBytes
        let result = try await world.disk.evict([range]) { _ in }
        #expect(result.evictedBytes == 38 * 4096 && result.pinnedBytes == 4096 && result.dirtyBytes == 0, "\(result)")
        #expect(before - (await world.disk.status().usedBytes) == 38 * 4096)
        let whole = try await world.disk.residency(of: [range, 0..<UInt64(Self.chunkBytes)])
        #expect(whole[0].absentBytes == 38 * 4096 && whole[0].cachedBytes == 2 * 4096 && whole[0].pinnedBytes == 4096)
        #expect(whole[1].absentBytes == 38 * 4096 && whole[1].dirtyBytes == 0)

        var expected = Array(bytes[..<Self.chunkBytes])
        expected.replaceSubrange(90 * 4096..<91 * 4096, with: patch)
        let fetched = store.calls(of: .get)
        for page in Array(0...80) + [100] + Array(120..<256) {
            let found = try await world.read(UInt64(page * 4096), 4096)
            #expect(same(found, Array(expected[page * 4096..<(page + 1) * 4096])), "page \(page)")
        }
        #expect(store.calls(of: .get) == fetched, "what stayed was fetched")
        #expect(try await same(world.read(0, Self.chunkBytes), expected))
        #expect(store.calls(of: .get) > fetched, "what went was not fetched")
        try await world.detach()
        try await world.attach()
        #expect(try await same(world.read(0, Self.chunkBytes), expected))
        try await world.detach()
    }

    @Test("a crash right between forgetting pages and punching them leaves neither zeros nor old bytes")
    func crashBetween() async throws {
        let store = MemoryStore()
        let (world, bytes) = try await world(store)
        try await world.flush()
        var pages = PageSet(pageCount: 256)
        pages.insert(10..<60)
        // LMDB has forgotten, durably; the holes were not punched.
        try await world.disk.bitmap.forget([ChunkIndex(3)], pages: [ChunkIndex(0): pages, ChunkIndex(2): pages])
        try await world.crash()
        try await world.attach()
        let residency = try await world.disk.residency(of: [0..<1 << 20, 2 << 20..<3 << 20, 3 << 20..<4 << 20])
        #expect(residency.allSatisfy { $0.cachedBytes == 0 }, "a partial chunk of before an unclean stop: \(residency)")
        #expect(await world.disk.status().usedBytes <= 5 << 20, "what LMDB forgot takes space")
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            #expect(try await same(world.read(UInt64(start), 1 << 20), Array(bytes[start..<start + 1 << 20])))
        }
        try await world.detach()
    }

    @Test("pages that a fill brought after the last flush are not recorded by an eviction of their neighbours")
    func evictRecordsNothing() async throws {
        let (world, _) = try await world(MemoryStore())
        _ = try await world.disk.evict(wait: true)
        _ = try await world.read(0, 4096)
        try await world.flush()
        _ = try await world.read(512 << 10, 4096)
        let bitmap = world.disk.bitmap
        let recorded = try await bitmap.pageRecords()[0].1.present
        _ = try await world.disk.evict([0..<8192]) { _ in }
        let after = try await bitmap.pageRecords()[0].1.present
        #expect(after.count == recorded.count - 2 && after.subtracting(recorded).isEmpty, "rule 3")
        try await world.detach()
    }

    @Test("residency is exact for what is dirty, absent, unallocated, and for bytes inside pages")
    func residency() async throws {
        let (world, _) = try await world(MemoryStore())
        _ = try await world.disk.evict(wait: true)
        _ = try await world.read(1 << 20, 4096)
        try await world.write(2 << 20, [UInt8](repeating: 1, count: 8192))
        let found = try await world.disk.residency(of: [
            0..<64 << 20, 1 << 20 + 10..<1 << 20 + 20, 2 << 20 + 4000..<2 << 20 + 9000, 20 << 20..<21 << 20, 5..<5,
        ])
        #expect(found[0].cachedBytes == 128 << 10 + 8192)
        #expect(found[0].dirtyBytes == 8192)
        #expect(found[0].absentBytes == 8 << 20 - 128 << 10 - 8192)
        #expect(found[0].unallocatedBytes == 56 << 20)
        #expect(found[1].cachedBytes == 10 && found[1].absentBytes == 0)
        #expect(found[2].dirtyBytes == 4192 && found[2].cachedBytes == 4192 && found[2].absentBytes == 808)
        #expect(found[3].unallocatedBytes == 1 << 20)
        #expect(found[4] == RangeResidency())
        try await world.detach()
    }

    @Test("a prefetch fetches each frame once, with others who want it, tells its progress, and can be cancelled")
    func prefetch() async throws {
        let store = FaultyStore(MemoryStore())
        let (world, bytes) = try await world(store)
        _ = try await world.disk.evict(wait: true)
        let before = store.calls(of: .get)
        let steps = Mutex<[UInt64]>([])
        let ranges: [Range<UInt64>] = [4096..<3 << 20, 5 << 20..<6 << 20, 30 << 20..<40 << 20]
        async let other: Void = world.disk.prefetch([0..<3 << 20]) { _ in }
        try await world.disk.prefetch(ranges) { done in steps.withLock { $0.append(done) } }
        try await other
        let total = ranges.reduce(0) { $0 + UInt64($1.count) }
        #expect(steps.withLock { $0.last == total && $0 == $0.sorted() })
        // A chunk may come in two requests, when its first frame was under way already.
        #expect(store.calls(of: .get) - before <= 8, "\(store.calls(of: .get) - before) requests for 4 chunks")
        let fetched = store.calls(of: .get)
        #expect(try await same(world.read(1 << 20, 1 << 20), Array(bytes[1 << 20..<2 << 20])))
        try await world.disk.prefetch(ranges) { _ in }
        #expect(store.calls(of: .get) == fetched)
        try await world.detach()
    }

    @Test("many small ranges come in side by side")
    func smallRanges() async throws {
        let store = TimedStore()
        let (world, _) = try await world(store)
        _ = try await world.disk.evict(wait: true)
        let ranges = (0..<8).map { UInt64($0 << 20)..<UInt64($0 << 20) + 4096 }
        store.close()
        async let prefetch: Void = world.disk.prefetch(ranges) { _ in }
        try await eventually { store.underWay == ranges.count }
        store.open()
        try await prefetch
        #expect(try await world.disk.residency(of: ranges).allSatisfy { $0.cachedBytes == 4096 })
        try await world.detach()
    }

    @Test("a cancelled prefetch ends, and leaves what it brought")
    func cancel() async throws {
        let store = FaultyStore(MemoryStore())
        let (world, bytes) = try await world(store, chunkBytes: 64 << 10)
        _ = try await world.disk.evict(wait: true)
        store.add(.init(.get, nameContains: "blocks/", .delay(.milliseconds(20))))
        let (steps, source) = AsyncStream.makeStream(of: UInt64.self)
        let task = Task { try await world.disk.prefetch([0..<8 << 20]) { source.yield($0) } }
        for await _ in steps { break }
        task.cancel()
        await #expect(throws: DiskError.self) { try await task.value }
        let cached = try await world.disk.residency(of: [0..<8 << 20])[0].cachedBytes
        #expect(cached > 0 && cached < 8 << 20, "\(cached) bytes came")
        store.clear()
        #expect(try await same(world.read(0, 1 << 20), Array(bytes[..<(1 << 20)])))
        try await world.detach()
    }
}
