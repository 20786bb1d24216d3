import Testing
import VDriveDataPlane
import VDriveMeasure
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// What the engine counts, where FUSE has no part in it.
@Suite struct ActivityTests {
    private let chunk = 1 << 20

    private func withFullDisk(_ body: (EngineWorld) async throws -> Void) async throws {
        let world = try await EngineWorld()
        try await world.attach()
        let bytes = (0..<chunk).map { UInt8(truncatingIfNeeded: $0 / 4096 &* 37) }
        for index in 0..<16 { try await world.write(UInt64(index * chunk), bytes) }
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: false)
        try await body(world)
        try await world.detach()
    }

    @Test("what was evicted is counted in chunks and bytes")
    func evictions() async throws {
        try await withFullDisk { world in
            let start = world.disk.activity().totals
            for index in [3, 9, 14] { _ = try await world.read(UInt64(index * chunk), 65_536) }
            let filled = world.disk.activity().totals.filledBytes - start.filledBytes
            #expect(filled == 3 * 131_072)
            #expect(try await world.disk.evict(wait: false) == filled)
            let evicted = world.disk.activity().totals
            #expect(evicted.evictedChunks - start.evictedChunks == 3)
            #expect(evicted.evictedBytes - start.evictedBytes == filled)
            #expect(evicted.readAheadUnusedBytes == start.readAheadUnusedBytes)
        }
    }

    @Test("commits and uploads are counted, and a commit's time is kept")
    func commits() async throws {
        try await withFullDisk { world in
            let activity = world.disk.activity()
            #expect(activity.totals.commits >= 1 && activity.commit.count == activity.totals.commits)
            #expect(activity.totals.uploadedChunks >= 16)
            #expect(activity.totals.uploadedRawBytes == activity.totals.uploadedChunks * UInt64(chunk))
            #expect(activity.totals.uploadedStoredBytes > 0)
            #expect(activity.totals.uploadedStoredBytes < activity.totals.uploadedRawBytes / 10)
            #expect(activity.rates.map(\.windowSeconds) == [1, 10, 60])
        }
    }

    @Test("a request that fails is counted once, as an error too")
    func errors() async throws {
        try await withFullDisk { world in
            for name in await world.objects("blocks") { try await world.store.delete(name) }
            let before = world.disk.activity().totals
            await #expect(throws: (any Error).self) { _ = try await world.read(UInt64(3 * chunk), 4096) }
            let after = world.disk.activity().totals
            #expect(after.readMisses - before.readMisses == 1)
            #expect(after.readErrors - before.readErrors == 1)
            #expect(after.readBytes == before.readBytes)
        }
    }
}

extension EngineWorld {
    /// The names of all objects below a folder of the store.
    fileprivate func objects(_ folder: String) async -> [ObjectName] {
        var names: [ObjectName] = []
        for child in (try? await store.list(folder)) ?? [] {
            let path = "\(folder)/\(child.name)"
            if child.isFolder { names += await objects(path) } else { names.append(ObjectName(path)) }
        }
        return names
    }
}
