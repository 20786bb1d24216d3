import Testing
import VDriveModel
import VDriveStore

@testable import VDriveEngine

@Suite struct EdgeTests {
    @Test("an unaligned write over an absent one-frame chunk keeps the chunk dirty")
    func unalignedOverAbsent() async throws {
        let world = try await EngineWorld(diskBytes: 1 << 20, chunkBytes: 64 << 10)
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 1, count: 64 << 10))
        _ = try await world.disk.evict(wait: true)
        try await world.write(100, [UInt8](repeating: 2, count: 50))
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        let found = try await world.read(0, 4096)
        #expect(found[99] == 1 && found[100] == 2 && found[149] == 2 && found[150] == 1)
        try await world.detach()
    }

    @Test("who finds a chunk unallocated and comes late for its lock takes no object for zeros")
    func lateForTheLock() async throws {
        let world = try await EngineWorld(diskBytes: 1 << 20, chunkBytes: 64 << 10)
        try await world.attach()
        let bytes = [UInt8](repeating: 1, count: 64 << 10)
        try await world.write(0, bytes)
        _ = try await world.disk.evict(wait: true)
        // As a reader that asked the map before the write.
        try await world.disk.cache.publishZeroBase(ChunkIndex(0))
        #expect(try await same(world.read(0, 64 << 10), bytes))
        try await world.detach()
    }
}
