import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// A disk that is attached to be read takes nothing from whoever writes it.
@Suite struct ReadOnlyTests {
    private func changes(_ store: FaultyStore) -> Int {
        [.put, .delete, .claim].reduce(0) { $0 + store.calls(of: $1) }
    }

    @Test("a reader writes nothing to the remote, refuses writes, and sees the state of its attach")
    func reader() async throws {
        let inner = MemoryStore()
        let writer = try await EngineWorld(store: inner)
        try await writer.attach()
        let bytes = VerificationTests.noise(3 << 20, seed: 8)
        for part in 0..<3 { try await writer.write(UInt64(part) << 20, Array(bytes[part << 20..<(part + 1) << 20])) }
        try await writer.disk.sync()

        let store = FaultyStore(inner)
        let reader = try await EngineWorld(store: store)
        try await reader.attach(isReadOnly: true)
        let status = await reader.disk.status()
        #expect(status.isReadOnly && status.state == .attached)
        #expect(try await same(reader.read(0, 1 << 20), Array(bytes[..<(1 << 20)])))
        await #expect(throws: Errno.readOnlyFileSystem) { try await reader.write(0, [1]) }
        await #expect(throws: Errno.readOnlyFileSystem) { try await reader.deallocate(0, 1 << 20) }
        try await reader.flush()
        try await reader.disk.sync()

        // The writer goes on, is not fenced, and replaces what the reader has not fetched yet.
        for round in 0..<3 as Range<UInt8> {
            try await writer.write(1 << 20, [UInt8](repeating: round + 1, count: 1 << 20))
            try await writer.disk.sync()
        }
        #expect(await writer.disk.status().state == .attached)
        #expect(try await same(reader.read(0, 1 << 20), Array(bytes[..<(1 << 20)])))
        #expect(try await same(reader.read(2 << 20, 1 << 20), Array(bytes[2 << 20..<3 << 20])))
        try await eventually { inner.names.filter { $0.contains("blk_000000001") }.count < 3 }
        // The object is deleted beneath it: an error, never somebody else's bytes.
        await #expect(throws: Errno.ioError) { try await reader.read(1 << 20, 4096) }
        try await reader.detach()

        try await reader.attach(isReadOnly: true)
        #expect(try await same(reader.read(1 << 20, 1 << 20), [UInt8](repeating: 3, count: 1 << 20)))
        #expect(try await same(reader.read(0, 1 << 20), Array(bytes[..<(1 << 20)])))
        _ = try await reader.disk.evict(wait: true)
        try await reader.crash()
        try await reader.attach(isReadOnly: true)
        #expect(try await same(reader.read(0, 1 << 20), Array(bytes[..<(1 << 20)])))
        try await reader.detach()
        #expect(changes(store) == 0, "the reader changed the remote")

        // The same machine may write once nobody else does.
        try await writer.detach()
        try await reader.attach()
        try await reader.write(0, [UInt8](repeating: 5, count: 4096))
        try await reader.disk.sync()
        #expect(try await same(reader.read(1 << 20, 1 << 20), [UInt8](repeating: 3, count: 1 << 20)))
        try await reader.detach()
        try await writer.attach(isReadOnly: true)
        #expect(try await writer.read(0, 4096).allSatisfy { $0 == 5 })
        try await writer.detach()
    }

    @Test("changes that are not on the remote yet refuse a read-only attach, and stay")
    func localChanges() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(60))
        try await world.attach()
        try await world.write(0, [1, 2, 3])
        try await world.flush()
        try await world.detach(commit: false, releasing: false)
        do {
            try await world.attach(isReadOnly: true)
            Issue.record("local changes were hidden")
            try await world.detach()
        } catch let error as DiskError {
            #expect(error.kind == .refused)
        }
        try await world.attach()
        #expect(try await world.read(0, 3) == [1, 2, 3])
        try await world.detach()
    }

    @Test("a disk that nobody has written is read as zeros, and attached to be written afterwards")
    func emptyDisk() async throws {
        let world = try await EngineWorld()
        try await world.attach(isReadOnly: true)
        #expect(try await world.read(0, 4096).allSatisfy { $0 == 0 })
        try await world.detach()
        try await world.attach()
        try await world.write(0, [4])
        try await world.detach()
        try world.loseMachine()
        try await world.attach(isReadOnly: true)
        #expect(try await world.read(0, 1) == [4])
        try await world.detach()
    }
}
