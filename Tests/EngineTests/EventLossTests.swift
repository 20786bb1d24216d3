import Synchronization
import Testing
import VDriveDataPlane
import VDriveMeasure
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// Events that nobody takes for a while wait; none is lost, and those that say the same wait once.
@Suite struct EventLossTests {
    @Test("read-ahead that waits behind very many wishes for an epoch is fetched, and the next one, too")
    func readAhead() async throws {
        let world = try await EngineWorld(store: MemoryStore(), uploadInterval: .seconds(3600))
        try await world.attach()
        let bytes = VerificationTests.noise(16 << 20, seed: 9)
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try await world.write(UInt64(start), Array(bytes[start..<start + 1 << 20]))
        }
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()

        // Nobody serves yet: as when whoever does waits for a busy actor.
        try await world.attach(runs: false)
        let cache = world.disk.cache
        let counters = world.plane.counters
        for first in [0, 32, 64] { await cache.missed(ChunkIndex(0), first..<first + 32, isUnderWay: false) }
        #expect(await cache.link.aheadCount > 0)
        let manyPages = Int(world.cacheBytes) / 4096
        counters.dirtyPages.add(manyPages, ordering: .relaxed)
        for _ in 0..<3000 { await cache.wantEpochWhenManyDirty() }
        counters.dirtyPages.subtract(manyPages, ordering: .relaxed)
        world.run()
        try await eventually(within: .seconds(5)) { await cache.link.aheadCount == 0 }

        let before = counters.totals().readAheadBytes
        for start in stride(from: 4 << 20, to: 12 << 20, by: 128 << 10) {
            let found = try await world.read(UInt64(start), 128 << 10)
            #expect(same(found, Array(bytes[start..<start + 128 << 10])), "at \(start)")
        }
        #expect(counters.totals().readAheadBytes > before, "nothing is read ahead any more")
        try await world.detach()
    }

    @Test("wishes for an epoch wait as one, and one that comes after it was taken waits again; nothing else is dropped")
    func kinds() async throws {
        let events = DiskEvents()
        var wishes = events.wishes.makeAsyncIterator()
        for number in 0..<3000 {
            events.yield(.wantsEpoch)
            events.yield(.objectLost("\(number)"))
        }
        #expect(await wishes.next() != nil)
        events.yield(.wantsEpoch)
        #expect(await wishes.next() != nil)
        events.finish()
        #expect(await wishes.next() == nil)
        var names: [String] = []
        for await event in events.others {
            guard case .objectLost(let name) = event else { continue }
            names.append(name)
        }
        #expect(names == (0..<3000).map { "\($0)" })
    }
}
