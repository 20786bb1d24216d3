import Synchronization
import Testing
import VDriveDataPlane
import VDriveFormat
import VDriveMeasure
import VDriveModel

@testable import VDriveEngine

/// Reads of what is not here: each byte comes once, readers get theirs first, and nothing is fetched for nobody.
@Suite(.timeLimit(.minutes(2)))
struct ColdReadTests {
    private static let chunk = 1 << 20
    private static let frame = 128 << 10
    private static let diskBytes = 32 << 20

    /// A disk full of noise on a store, and nothing of it here.
    private func coldWorld(_ store: TimedStore, cacheBytes: UInt64 = 64 << 20) async throws -> EngineWorld {
        let world = try await EngineWorld(store: store, diskBytes: UInt64(Self.diskBytes), cacheBytes: cacheBytes)
        try await world.attach()
        for chunk in 0..<Self.diskBytes / Self.chunk {
            try await world.write(UInt64(chunk * Self.chunk), Self.noise(chunk))
        }
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        // The map's node comes with the first look at it.
        _ = try await world.read(UInt64(Self.diskBytes - 4096), 4096)
        _ = try await world.disk.evict(wait: true)
        store.forget()
        return world
    }

    private static func noise(_ chunk: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: UInt64(chunk))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.chunk)
        for _ in 0..<Self.chunk / 8 { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
        return bytes
    }

    private func expectNoise(_ world: EngineWorld, _ offset: Int, _ count: Int) async throws {
        let start = offset % Self.chunk
        let expected = Array(Self.noise(offset / Self.chunk)[start..<start + count])
        #expect(try await same(world.read(UInt64(offset), count), expected), "\(count) bytes at \(offset)")
    }

    @Test("interleaved readers, forward and backward, fetch each byte once", arguments: [4096 * 8, 128 << 10])
    func interleaved(request: Int) async throws {
        let store = TimedStore(delay: .milliseconds(2))
        let world = try await coldWorld(store)
        let share = Self.diskBytes / 4
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reader in 0..<4 {
                group.addTask {
                    for step in 0..<share / request {
                        let at = reader % 2 == 0 ? step * request : share - (step + 1) * request
                        try await self.expectNoise(world, reader * share + at, request)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(store.bytesTwice == 0)
        let fetched = store.gets.reduce(0) { $0 + $1.bytes.count }
        #expect(fetched < Self.diskBytes * 102 / 100)
        // A good part of it came before it was asked for; how much is the machine's affair.
        let ahead = world.disk.activity().totals.readAheadBytes
        #expect(ahead > UInt64(Self.diskBytes) / 8, "\(ahead)")
        _ = try await world.disk.evict(wait: false)
        #expect(world.disk.activity().totals.readAheadUnusedBytes == 0)
        try await world.detach()
    }

    @Test("small random reads fetch a frame each, with one request")
    func random() async throws {
        let store = TimedStore()
        let world = try await coldWorld(store)
        for (index, frame) in [3, 250, 77, 140, 31, 199, 8, 101].enumerated() {
            try await expectNoise(world, frame * Self.frame + 8192, 4096)
            #expect(store.gets.count == index + 1)
        }
        try await store.untilQuiet()
        #expect(store.gets.count == 8)
        #expect(store.gets.allSatisfy { $0.bytes.count < 160 << 10 })
        try await world.detach()
    }

    @Test("what read-ahead has under way is bounded by a share of the cache")
    func bounded() async throws {
        let store = TimedStore(delay: .milliseconds(20))
        let world = try await coldWorld(store, cacheBytes: 16 << 20)
        for step in 0..<128 { try await expectNoise(world, step * Self.frame, Self.frame) }
        #expect(store.gets.count > 16)
        #expect(store.bytesUnderWayMax <= 2 << 20 + 2 * Self.frame, "\(store.bytesUnderWayMax)")
        try await world.detach()
    }

    @Test("a demand read is asked for at once, however much read-ahead is under way and wanted")
    func demandFirst() async throws {
        let store = TimedStore(delay: .milliseconds(5))
        let world = try await coldWorld(store)
        for step in 0..<8 { try await expectNoise(world, step * Self.frame, Self.frame) }
        try await store.untilQuiet()
        store.close()
        async let next: Void = expectNoise(world, 8 * Self.chunk, Self.frame)
        async let after: Void = expectNoise(world, 8 * Self.chunk + Self.frame, Self.frame)
        try await eventually { store.underWay > 2 }
        let before = store.gets.count
        async let demand: Void = expectNoise(world, 30 * Self.chunk + 4096, 4096)
        try await eventually { store.gets.count > before }
        #expect(Self.chunkIndex(store.gets[before]) == 30)
        store.open()
        try await next
        try await after
        try await demand
        try await world.detach()
    }

    @Test("when the reader jumps and goes on there, what was not begun is not wanted any more")
    func jump() async throws {
        let store = TimedStore(delay: .milliseconds(5))
        let world = try await coldWorld(store)
        for step in 0..<2 { try await expectNoise(world, step * Self.frame, Self.frame) }
        try await store.untilQuiet()
        store.close()
        // The window grows while nothing comes: with the mark on the first chunk, then with a read that waits.
        try await expectNoise(world, 0, Self.frame)
        try await eventually { store.underWay > 0 }
        async let waiting: Void = expectNoise(world, 4 * Self.frame, Self.frame)
        try await eventually { await self.wanted(world).contains { $0 < 24 } }
        async let there: Void = expectNoise(world, 24 * Self.chunk, Self.frame)
        try await eventually { store.gets.contains { Self.chunkIndex($0) == 24 } }
        #expect(await wanted(world).contains { $0 < 24 })
        async let thereToo: Void = expectNoise(world, 24 * Self.chunk + Self.frame, Self.frame)
        try await eventually { store.gets.count { Self.chunkIndex($0) == 24 } > 1 }
        #expect(await wanted(world).allSatisfy { $0 >= 24 })
        store.open()
        _ = try await (waiting, there, thereToo)
        try await world.detach()
    }

    /// The chunks of which something is wanted and not begun.
    private func wanted(_ world: EngineWorld) async -> Set<UInt64> {
        var readAhead = await world.disk.cache.readAhead
        var chunks: Set<UInt64> = []
        while let piece = readAhead.take(upTo: 32) { chunks.insert(piece.chunk.rawValue) }
        return chunks
    }

    /// Noise is stored, a little longer than it is.
    private static func frames(_ get: TimedStore.Get) -> Int { get.bytes.count / frame }

    private static func chunkIndex(_ get: TimedStore.Get) -> Int {
        guard case .chunk(let chunk, _)? = ObjectRole(path: get.object) else { return -1 }
        return Int(chunk.rawValue)
    }

    @Test("what was fetched ahead and evicted unread is counted, and nothing else")
    func waste() async throws {
        let store = TimedStore(delay: .milliseconds(2))
        let world = try await coldWorld(store)
        for step in 0..<24 { try await expectNoise(world, step * Self.frame, Self.frame) }
        // Everything that was read lies in the first three chunks; whatever lies behind them nobody has read. What is
        // still on its way comes here, and goes, with one of the next rounds.
        try await eventually {
            try await store.untilQuiet()
            _ = try await world.disk.evict(wait: false)
            let behind = store.gets.filter { Self.chunkIndex($0) > 2 }.reduce(0) { $0 + Self.frames($1) }
            let unused = world.disk.activity().totals.readAheadUnusedBytes
            return behind > 0 && unused == UInt64(behind * Self.frame)
        }
        try await world.detach()
    }

    @Test("a reader of holes and a reader of the disk's end are no trouble")
    func edges() async throws {
        let store = TimedStore()
        let world = try await coldWorld(store)
        try await world.deallocate(UInt64(4 * Self.chunk), UInt64(8 * Self.chunk))
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        for step in 0..<Self.diskBytes / Self.frame {
            let offset = step * Self.frame
            if (4 * Self.chunk..<12 * Self.chunk).contains(offset) {
                #expect(try await same(world.read(UInt64(offset), Self.frame), Array(repeating: 0, count: Self.frame)))
            } else {
                try await expectNoise(world, offset, Self.frame)
            }
        }
        try await world.detach()
    }
}
