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
