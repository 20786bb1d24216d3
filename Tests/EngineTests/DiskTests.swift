import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore

@Suite struct DiskTests {
    private func pattern(_ seed: UInt8, _ count: Int) -> [UInt8] {
        // One block made byte by byte, then repeated: a debug build is slow at the former.
        let block = (0..<min(count, 4093)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ Int(seed)) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count + block.count <= count { bytes += block }
        return bytes + block.prefix(count - bytes.count)
    }

    @Test("a new disk reads as zeros, and holds what is written")
    func writeAndRead() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        #expect(try await same(world.read(5 << 20, 4096), [UInt8](repeating: 0, count: 4096)))
        let bytes = pattern(1, 300_000)
        try await world.write(1_000_000, bytes)
        #expect(try await same(world.read(1_000_000, 300_000), bytes))
        #expect(try await same(world.read(999_000, 1000), [UInt8](repeating: 0, count: 1000)))
        try await world.flush()
        try await world.detach()
    }

    @Test("what is synced is read again by a machine that knows nothing")
    func lostMachine() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        let bytes = pattern(2, 3 << 20)
        try await world.write(100, Array(bytes[0..<1 << 20]))
        try await world.write(100 + 1 << 20, Array(bytes[0..<1 << 20]))
        let before = try await world.read(0, 1 << 20)
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        #expect(try await same(world.read(0, 1 << 20), before))
        // A partial write over an object that is not here fetches nothing first, and keeps the rest.
        try await world.write(8192, pattern(3, 4096))
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        var expected = before
        expected.replaceSubrange(8192..<12288, with: pattern(3, 4096))
        #expect(try await same(world.read(0, 1 << 20), expected))
        try await world.detach()
    }

    @Test("a clean restart keeps cache and data, without the remote's help for what is cached")
    func cleanRestart() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        let bytes = pattern(4, 2 << 20)
        for part in 0..<4 { try await world.write(UInt64(part) << 19, Array(bytes[part << 19..<(part + 1) << 19])) }
        try await world.detach(commit: false)
        try await world.attach()
        let status = await world.disk.status()
        #expect(status.dirtyBytes == 2 << 20)
        #expect(try await same(world.read(0, 1 << 20), Array(bytes[0..<1 << 20])))
        try await world.disk.sync()
        #expect(await world.disk.status().dirtyBytes == 0)
        try await world.detach()
    }

    @Test("more data than the cache holds goes through, and comes back")
    func smallCache() async throws {
        let world = try await EngineWorld(diskBytes: 64 << 20, chunkBytes: 256 << 10, cacheBytes: 8 << 20)
        try await world.attach()
        for part in 0..<48 { try await world.write(UInt64(part) << 20, pattern(UInt8(part), 1 << 20)) }
        for part in 0..<48 {
            #expect(try await same(world.read(UInt64(part) << 20, 1 << 20), pattern(UInt8(part), 1 << 20)))
        }
        let used = await world.disk.status().usedBytes
        #expect(used <= 9 << 20, "\(used) bytes of \(world.cacheBytes)")
        try await world.detach()
    }

    @Test("a trimmed chunk reads as zeros, its object goes away, the rest stays")
    func trim() async throws {
        let store = MemoryStore()
        let world = try await EngineWorld(store: store)
        try await world.attach()
        for part in 0..<4 { try await world.write(UInt64(part) << 20, pattern(UInt8(part), 1 << 20)) }
        try await world.disk.sync()
        #expect(await world.disk.status().allocatedBytes == 4 << 20)
        try await world.deallocate(1 << 20, 2 << 20)
        #expect(try await same(world.read(1 << 20, 1 << 20), [UInt8](repeating: 0, count: 1 << 20)))
        try await world.deallocate(3 << 20 + 100, 10_000)
        try await world.disk.sync()
        #expect(await world.disk.status().allocatedBytes == 2 << 20)
        #expect(try await world.seek(1 << 20, data: true) == 3 << 20)
        #expect(try await world.seek(0, data: false) == 1 << 20)
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        #expect(try await same(world.read(0, 1 << 20), pattern(0, 1 << 20)))
        #expect(try await same(world.read(1 << 20, 1 << 20), [UInt8](repeating: 0, count: 1 << 20)))
        var tail = pattern(3, 1 << 20)
        for index in 100..<10_100 { tail[index] = 0 }
        #expect(try await same(world.read(3 << 20, 1 << 20), tail))
        for part in 0..<3 {
            try await world.write(5 << 20, pattern(UInt8(part), 4096))
            try await world.disk.sync()
        }
        // Garbage is deleted after the commit was answered.
        var blocks: [String] = []
        for _ in 0..<100 {
            blocks = store.names.filter { $0.hasPrefix("blocks/") }
            if blocks.count <= 5 { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        #expect(blocks.count <= 5, "garbage stays: \(blocks)")
        try await world.detach()
    }

    @Test("hundreds of epochs pass checkpoints, and the map is whole afterwards")
    func manyEpochs() async throws {
        let store = MemoryStore()
        let world = try await EngineWorld(store: store, diskBytes: 256 << 20, chunkBytes: 64 << 10)
        try await world.attach()
        for round in 0..<200 {
            try await world.write(UInt64(round % 97) * 2_000_000 / 4096 * 4096, pattern(UInt8(round), 4096))
            try await world.disk.sync()
        }
        try await world.detach()
        #expect(store.names.filter { $0.hasPrefix("commits/") }.count < 140)
        #expect(store.names.contains { $0.hasPrefix("map/") })
        try world.loseMachine()
        try await world.attach()
        for round in 103..<200 {
            let offset = UInt64(round % 97) * 2_000_000 / 4096 * 4096
            #expect(try await same(world.read(offset, 4096), pattern(UInt8(round), 4096)))
        }
        try await world.detach()
    }

    @Test("writes to a sealed chunk keep the sealed bytes for the upload")
    func preserve() async throws {
        let world = try await EngineWorld(chunkBytes: 4 << 20)
        try await world.attach()
        var shadow = [UInt8](repeating: 0, count: 4 << 20)
        for round in 0..<40 {
            let at = round * 65536
            let bytes = pattern(UInt8(round), 65536)
            try await world.write(UInt64(at), bytes)
            shadow.replaceSubrange(at..<at + 65536, with: bytes)
            if round % 4 == 0 {
                async let synced: Void = world.disk.sync()
                for again in 0..<8 {
                    let place = (round * 7 + again * 3) % 60 * 65536
                    let more = pattern(UInt8(again), 4096)
                    try await world.write(UInt64(place), more)
                    shadow.replaceSubrange(place..<place + 4096, with: more)
                }
                try await synced
            }
        }
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        for part in 0..<4 {
            #expect(
                try await same(world.read(UInt64(part) << 20, 1 << 20), Array(shadow[part << 20..<(part + 1) << 20]))
            )
        }
        try await world.detach()
    }

    @Test("a missing object is an error, never zeros")
    func missingObject() async throws {
        let store = MemoryStore()
        let world = try await EngineWorld(store: store)
        try await world.attach()
        try await world.write(0, pattern(1, 1 << 20))
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        for name in store.names where name.hasPrefix("blocks/") { try await store.delete(ObjectName(name)) }
        await #expect(throws: Errno.ioError) { try await world.read(0, 4096) }
        try await world.detach()
    }
}
