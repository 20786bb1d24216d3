import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// Nothing reaches a reader that was not verified, and what is lost is lost page by page.
@Suite struct VerificationTests {
    static let chunkBytes = 1 << 20
    static let frameBytes = 128 << 10

    /// A disk of two chunks that do not compress, on a machine that has nothing of it.
    static func coldWorld(_ store: any ObjectStore, seed: UInt64 = 1) async throws -> (EngineWorld, [UInt8]) {
        let world = try await EngineWorld(store: store, diskBytes: 8 << 20, chunkBytes: chunkBytes)
        try await world.attach()
        let bytes = noise(2 * chunkBytes, seed: seed)
        for chunk in 0..<2 {
            let start = chunk * chunkBytes
            try await world.write(UInt64(start), Array(bytes[start..<start + chunkBytes]))
        }
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        return (world, bytes)
    }

    static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let words = UnsafeMutableRawBufferPointer(buffer).bindMemory(to: UInt64.self)
            for index in words.indices { words[index] = random.next() }
            filled = count
        }
    }

    static func chunkObjects(_ store: MemoryStore) -> [ObjectName] {
        store.names.filter { $0.hasPrefix("blocks/") }.map { ObjectName($0) }
    }

    @Test("another object's sound frames under the right name are not taken for data")
    func swappedObjects() async throws {
        let store = MemoryStore()
        let (world, _) = try await Self.coldWorld(store)
        let names = Self.chunkObjects(store)
        try #require(names.count == 2)
        let first = try await store.get(names[0], range: nil)
        let second = try await store.get(names[1], range: nil)
        try #require(first.count == second.count, "frames that are stored have equal lengths")
        try await store.put(names[0], second)
        try await store.put(names[1], first)
        for chunk in 0..<2 {
            // Frame 3: the header is not part of this read.
            let offset = UInt64(chunk * Self.chunkBytes + 3 * Self.frameBytes)
            await #expect(throws: Errno.ioError) { try await world.read(offset, 4096) }
        }
        try await world.detach()
    }
}

/// What comes damaged once is asked for again; what stays damaged costs its own pages alone.
@Suite struct DamagedObjectTests {
    private typealias World = VerificationTests

    static let passing: [FaultyStore.Rule] = [
        .init(.get, nameContains: "blocks/", times: 1, .flippedByte(at: 5000)),
        .init(.get, nameContains: "blocks/", times: 2, .shortBody(bytes: 10)),
        .init(.get, nameContains: "blocks/", times: 1, .failBefore(StoreError(.notFound, "a moment"))),
    ]

    @Test("what comes wrong by accident is asked for again", arguments: DamagedObjectTests.passing.indices)
    func transientDamage(index: Int) async throws {
        let store = FaultyStore(MemoryStore())
        let (world, bytes) = try await World.coldWorld(store)
        store.add(Self.passing[index])
        #expect(try await same(world.read(300_000, 4096), Array(bytes[300_000..<304_096])))
        #expect(await world.disk.status().damagedObjects.total == 0)
        try await world.detach()
    }

    @Test("commits and map nodes that come damaged once do not keep a disk from being attached")
    func transientDamageAtAttach() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, diskBytes: 64 << 20, chunkBytes: 1 << 20)
        try await world.attach()
        // Past a checkpoint, so that the map has nodes.
        for round in 0..<70 {
            try await world.write(UInt64(round % 8) << 20, World.noise(4096, seed: UInt64(round)))
            try await world.disk.sync()
        }
        try await world.detach()
        try world.loseMachine()
        for part in ["vdrive.json", "commits/", "map/"] {
            store.add(.init(.get, nameContains: part, times: 1, .flippedByte(at: 130)))
        }
        try await world.attach()
        #expect(try await same(world.read(5 << 20, 4096), World.noise(4096, seed: 69)))
        #expect(await world.disk.status().damagedObjects.total == 0)
        try await world.detach()
    }

    @Test("a damaged frame fails its own pages, the others of the chunk are read, and status names the object")
    func justThosePages() async throws {
        let store = MemoryStore()
        let (world, bytes) = try await World.coldWorld(store)
        let name = World.chunkObjects(store)[0]
        var object = try await store.get(name, range: nil)
        object[96 + 3 * (World.frameBytes + 16) + 1000] ^= 1
        try await store.put(name, object)
        // A sequential reader, whose read-ahead takes the whole chunk.
        for page in stride(from: 0, to: World.chunkBytes, by: 32 << 10) {
            if page / World.frameBytes == 3 {
                await #expect(throws: Errno.ioError) { try await world.read(UInt64(page), 32 << 10) }
            } else {
                let found = try await world.read(UInt64(page), 32 << 10)
                #expect(same(found, Array(bytes[page..<page + (32 << 10)])), "page \(page)")
            }
        }
        #expect(try await same(world.read(UInt64(World.chunkBytes), 1 << 20), Array(bytes[World.chunkBytes...])))
        // The event goes upward by itself.
        while await world.disk.status().damagedObjects.total == 0 { try await Task.sleep(for: .milliseconds(10)) }
        let damaged = await world.disk.status().damagedObjects
        #expect(damaged.total == 1 && damaged.names == [name.path])
        // Written anew, it is well again.
        try await world.write(0, Array(bytes[..<World.chunkBytes]))
        try await world.disk.sync()
        #expect(try await world.disk.evict(wait: true) > 0)
        #expect(try await same(world.read(0, 1 << 20), Array(bytes[..<World.chunkBytes])))
        try await world.detach()
    }

    @Test("a missing object is an error, never zeros, and its neighbour is read")
    func missingObject() async throws {
        let store = MemoryStore()
        let (world, bytes) = try await World.coldWorld(store)
        let name = World.chunkObjects(store)[1]
        try await store.delete(name)
        await #expect(throws: Errno.ioError) { try await world.read(UInt64(World.chunkBytes), 4096) }
        #expect(try await same(world.read(0, 4096), Array(bytes[..<4096])))
        while await world.disk.status().damagedObjects.names != [name.path] {
            try await Task.sleep(for: .milliseconds(10))
        }
        try await world.detach()
    }
}

/// Reads go around a cache that has no room, and a cache that holds other bytes than it should is healed.
@Suite struct BypassTests {
    private typealias World = VerificationTests

    @Test(
        "a cache full of dirty data and a remote that takes nothing do not keep a cold read waiting",
        .timeLimit(.minutes(2))
    )
    func fullOfDirty() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, diskBytes: 16 << 20, chunkBytes: 1 << 20, cacheBytes: 4 << 20)
        try await world.attach()
        let bytes = World.noise(1 << 20, seed: 5)
        try await world.write(15 << 20, bytes)
        try await world.write(14 << 20, bytes)
        try await world.disk.sync()
        #expect(try await world.disk.evict(wait: true) > 0)
        store.add(.init(.put, .failBefore(StoreError(.full, "There is no room."))))
        // Two pages of the cold chunk are newer here.
        let newer = World.noise(8192, seed: 6)
        try await world.write(15 << 20 + 4096, newer)
        let writers = Task {
            // In small pieces, so that what is left is less than any of the reads takes.
            for start in stride(from: 0, to: 6 << 20, by: 16 << 10) {
                let at = start % bytes.count
                try await world.write(UInt64(start), Array(bytes[at..<at + 16 << 10]))
            }
        }
        try await eventually { world.isUnderPressure }
        try await Task.sleep(for: .milliseconds(300))
        var expected = bytes
        expected.replaceSubrange(4096..<12288, with: newer)
        // What waits for room waits until the remote takes something, which is after these reads.
        for offset in [0, 300_000, 900_000] {
            let found = try await world.read(15 << 20 + UInt64(offset), 100_000)
            #expect(same(found, Array(expected[offset..<offset + 100_000])), "at \(offset)")
        }
        // Over a border between chunks.
        let border = try await world.read(15 << 20 - 50_000, 100_000)
        #expect(same(border, Array(bytes[((1 << 20) - 50_000)...]) + Array(expected[..<50_000])))
        store.clear()
        try await writers.value
        try await world.disk.sync()
        #expect(try await same(world.read(15 << 20, 1 << 20), expected))
        try await world.detach()
    }

    @Test("a clean chunk that cannot be read is dropped and fetched again")
    func unreadableChunk() async throws {
        let (world, bytes) = try await World.coldWorld(MemoryStore())
        #expect(try await same(world.read(0, World.chunkBytes), Array(bytes[..<World.chunkBytes])))
        let cached = try OpenFile.open(world.folder + "/cache/cache.0000", flags: 2)
        // Behind the engine's back: what is beyond the end cannot be read.
        try cached.truncate(to: 1000)
        // Of two chunks, the second is not here: the slow path reads the first.
        let start = World.chunkBytes - 100_000
        #expect(try await same(world.read(UInt64(start), 200_000), Array(bytes[start..<start + 200_000])))
        let found = try await world.read(0, 300_000)
        #expect(same(found, Array(bytes[..<300_000])))
        try await world.detach()
    }
}
