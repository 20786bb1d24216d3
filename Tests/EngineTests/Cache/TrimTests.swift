import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// A trim costs what is there, not what it names: one that looked at each chunk that is named would not end in the
/// minutes that it has. How long it takes on a busy machine says nothing, and is printed only.
@Suite struct TrimTests {
    @Test("a trim of 16 TiB with a few chunks in it ends, and their objects go", .timeLimit(.minutes(5)))
    func hugeAndSparse() async throws {
        let store = MemoryStore()
        let bytes: UInt64 = 16 << 40
        let world = try await EngineWorld(store: store, diskBytes: bytes, chunkBytes: 4 << 20, cacheBytes: 64 << 20)
        try await world.attach()
        for number in 0..<8 as Range<UInt64> { try await world.write(number * (2 << 40) + 4096, [1, 2, 3]) }
        try await world.disk.sync()
        #expect(store.names.filter { $0.hasPrefix("blocks/") }.count == 8)
        try await world.write(3 << 40, [9])
        let took = try await ContinuousClock().measure {
            // As the loop device sends it: in pieces of 4 GiB, some at a time.
            try await withThrowingTaskGroup(of: Void.self) { group in
                for strand in 0..<32 as Range<UInt64> {
                    group.addTask {
                        for start in stride(from: strand << 32, to: bytes, by: 32 << 32) {
                            try await world.deallocate(start, 4 << 30)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        print("trim of 16 TiB in 4096 pieces: \(took)")
        try await world.disk.sync()
        let status = await world.disk.status()
        #expect(status.usedBytes == 0 && status.dirtyBytes == 0 && status.allocatedBytes == 0, "\(status)")
        #expect(try await world.read(3 << 40, 4096).allSatisfy { $0 == 0 })
        try await world.detach()
        #expect(store.names.filter { $0.hasPrefix("blocks/") }.isEmpty)
    }

    @Test("a trim of very many chunks ends; the next epoch takes them off the remote", .timeLimit(.minutes(5)))
    func many() async throws {
        let store = MemoryStore()
        let count = 4000
        let chunkBytes = 64 << 10
        let world = try await EngineWorld(
            store: store,
            diskBytes: 1 << 30,
            chunkBytes: chunkBytes,
            cacheBytes: 256 << 20
        )
        try await world.attach()
        for number in 0..<count {
            try await world.write(UInt64(number * chunkBytes), [UInt8(truncatingIfNeeded: number | 1)])
        }
        try await world.disk.sync()
        #expect(await world.disk.status().allocatedBytes == UInt64(count * chunkBytes))
        _ = try await world.disk.evict([0..<UInt64(count / 2 * chunkBytes)]) { _ in }
        let trimmed = try await ContinuousClock().measure { try await world.deallocate(0, 1 << 30) }
        let synced = try await ContinuousClock().measure { try await world.disk.sync() }
        print("trim of \(count) chunks: \(trimmed), their commit: \(synced)")
        let status = await world.disk.status()
        #expect(status.usedBytes == 0 && status.dirtyBytes == 0 && status.allocatedBytes == 0, "\(status)")
        try await world.detach()
        #expect(store.names.filter { $0.hasPrefix("blocks/") }.isEmpty)
        try world.loseMachine()
        try await world.attach()
        #expect(try await world.read(0, 4096).allSatisfy { $0 == 0 })
        try await world.detach()
    }

    @Test("what is written right after a trim, and before its commit, is not taken for zeros")
    func writeAfterTrim() async throws {
        let world = try await EngineWorld(uploadInterval: .milliseconds(50))
        try await world.attach()
        for round in 0..<40 as Range<UInt8> {
            try await world.write(0, [UInt8](repeating: round | 1, count: 1 << 20))
            if round % 2 == 0 { try await world.disk.sync() }
            try await world.deallocate(0, 2 << 20)
            if round % 3 == 0 { Task { [disk = world.disk] in try? await disk.sync() } }
            try await world.write(8192, [UInt8](repeating: round | 1, count: 4096))
            try await world.disk.sync()
            _ = try await world.disk.evict(wait: true)
            let found = try await world.read(0, 1 << 20)
            #expect(found[8192..<12288].allSatisfy { $0 == round | 1 }, "round \(round)")
            #expect(found[..<8192].allSatisfy { $0 == 0 } && found[12288...].allSatisfy { $0 == 0 })
        }
        try await world.detach()
    }

    @Test("what was trimmed is not shown as on its way while its commit waits")
    func queue() async throws {
        let store = GateStore(holding: "commits/")
        let count = 100
        let chunkBytes = 64 << 10
        let world = try await EngineWorld(store: store, chunkBytes: chunkBytes, uploadInterval: .seconds(3600))
        try await world.attach()
        for number in 0..<count { try await world.write(UInt64(number * chunkBytes), [1]) }
        try await world.disk.sync()
        try await world.deallocate(0, UInt64(count * chunkBytes))
        store.close()
        let sync = Task { [disk = world.disk] in try await disk.sync() }
        try await store.untilWaiting()
        let queue = await world.disk.uploadQueue(limit: count)
        #expect(queue.uploadingChunks == 0 && queue.epoch?.uploadedChunks == count)
        #expect(queue.chunks.allSatisfy { $0.state == .uploaded })
        store.open()
        try await sync.value
        try await world.detach()
    }
}
