import Linux
import Synchronization
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

@Suite struct LandedCommitTests {
    /// Our commit landed and the daemon ended before LMDB learned of it: a copy of the state directory of before says
    /// so.
    @Test("a commit of ours that LMDB never heard of is adopted, with its allocations, past the next checkpoint")
    func landed() async throws {
        let world = try await EngineWorld(diskBytes: 256 << 20, chunkBytes: 64 << 10)
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 1, count: 65536))
        try await world.disk.sync()
        try await world.detach(commit: false)
        try await world.attach()
        let before = try world.copyState()
        try await world.write(100 << 20, [UInt8](repeating: 2, count: 65536))
        try await world.disk.sync()
        try await world.detach(commit: false)
        try world.putBackState(before)
        try await world.attach()
        #expect(try await same(world.read(100 << 20, 4096), [UInt8](repeating: 2, count: 4096)))
        for round in 0..<130 {
            try await world.write(UInt64(round % 7) << 20, [UInt8](repeating: UInt8(round), count: 4096))
            try await world.disk.sync()
        }
        _ = try await world.disk.evict(wait: true)
        #expect(try await same(world.read(100 << 20, 4096), [UInt8](repeating: 2, count: 4096)))
        #expect(await world.disk.status().allocatedBytes == 8 * 65536)
        try await world.detach()
    }

    @Test("a write to a chunk that must be checked first waits for a remote that is away, and gives no error")
    func waitsForTheMap() async throws {
        let memory = MemoryStore()
        let store = FaultyStore(memory)
        let world = try await EngineWorld(store: store, diskBytes: 256 << 20, chunkBytes: 64 << 10)
        try await world.attach()
        let before = try await untilCheckpoint(world, memory)
        try await world.detach(commit: false, releasing: false)
        try world.putBackState(before)

        // The nodes of that checkpoint are on the remote alone, and what is cached is not known to be true.
        try await world.attach(runs: false)
        store.add(.init(.get, nameContains: "map/", .failBefore(StoreError(.unavailable, "The cable is out."))))
        world.run()
        let isDone = Mutex(false)
        let write = Task {
            try await world.write(65536, [UInt8](repeating: 9, count: 4096))
            isDone.withLock { $0 = true }
        }
        try await Task.sleep(for: .seconds(2))
        #expect(!isDone.withLock { $0 })
        store.clear()
        try await write.value
        #expect(try await same(world.read(65536, 8192), [9, 1].flatMap { [UInt8](repeating: $0, count: 4096) }))
        try await world.disk.sync()
        try await world.detach()
    }

    /// The answer to a commit's put is lost, with the network, and then the machine.
    @Test(
        "what was served without the remote stays what it was, although a commit of before had landed",
        arguments: [false, true]
    )
    func servedAlone(isStopped: Bool) async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        func fill(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 65536) }
        try await world.attach()
        try await world.write(0, fill(1))
        try await world.write(4 << 16, fill(4))
        try await world.disk.sync()
        // Never flushed here.
        try await world.write(0, fill(2))
        try await world.write(2 << 16, fill(2))
        try await world.deallocate(4 << 16, 65536)
        let outage = StoreError(.unavailable, "The cable is out.")
        store.add(.init(.put, nameContains: "commits/", .appliedThenError(outage)))
        await #expect(throws: DiskError.self) { try await world.disk.sync() }
        try await world.crash()

        store.clear()
        store.add(.init(nil, .failBefore(outage)))
        try await world.attach()
        #expect(try await same(world.read(2 << 16, 65536), fill(0)))
        try await world.write(3 << 16, fill(3))
        try await world.flush()
        if isStopped { try await world.detach(commit: false, releasing: false) }
        store.clear()
        if isStopped {
            try await world.attach()
        } else {
            // The new term's first commit has no better luck.
            store.add(.init(.put, nameContains: "commits/", times: 1, .appliedThenError(outage)))
        }
        try await eventually { (try? await world.disk.sync()) != nil }
        func check(_ when: Comment) async throws {
            #expect(try await same(world.read(0, 65536), fill(1)), when)
            #expect(try await same(world.read(2 << 16, 65536), fill(0)), when)
            #expect(try await same(world.read(3 << 16, 65536), fill(3)), when)
            #expect(try await same(world.read(4 << 16, 65536), fill(4)), when)
        }
        try await check("here")
        #expect(await world.disk.status().allocatedBytes == 3 * 65536)
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        try await check("from the remote alone")
        try await world.detach()
    }

    /// Commits until one writes the map.
    ///
    /// - Returns: a copy of the state directory that does not know of this one.
    private func untilCheckpoint(_ world: EngineWorld, _ store: MemoryStore) async throws -> String {
        func nodes() -> Int { store.names.count { $0.hasPrefix("map/") } }
        try await world.write(65536, [UInt8](repeating: 1, count: 65536))
        try await world.disk.sync()
        try await world.flush()
        let start = nodes()
        while true {
            let copy = try world.copyState()
            try await world.write(200 << 20, [UInt8](repeating: 7, count: 4096))
            try await world.disk.sync()
            if nodes() > start { return copy }
            try Directory.removeTree(copy)
        }
    }
}
