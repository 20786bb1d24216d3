import Glibc
import Synchronization
import Testing
import VDriveDataPlane
import VDriveModel

@testable import VDriveEngine

/// Hits that meet a transaction of LMDB: FUSE threads set bits while the cache takes its snapshot of them.
@Suite struct RecordRaceTests {
    private static let chunkBytes = 64 << 10
    private static let chunkCount = 2048

    private func page(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: DiskGeometry.pageBytes) }

    private func offset(_ chunk: Int, _ page: Int) -> UInt64 {
        UInt64(chunk * Self.chunkBytes + page * DiskGeometry.pageBytes)
    }

    @Test("pages that come to a chunk while its epoch's commit is recorded are there after the next flush and a crash")
    func commitMeetsHits() async throws {
        let store = GateStore(holding: "commits/")
        let diskBytes = Self.chunkBytes * Self.chunkCount
        let world = try await EngineWorld(
            store: store,
            diskBytes: UInt64(diskBytes),
            chunkBytes: Self.chunkBytes,
            cacheBytes: UInt64(4 * diskBytes),
            uploadInterval: .seconds(3600)
        )
        try await world.attach()
        for chunk in 0..<Self.chunkCount {
            try await world.write(offset(chunk, 0), [UInt8](repeating: 1, count: Self.chunkBytes))
        }
        _ = try await world.disk.evict(wait: true)
        for round in UInt8(1)...3 {
            // Chunks that are here in part, of an epoch that is uploaded but for its commit, and written since.
            for chunk in 0..<Self.chunkCount { try await world.write(offset(chunk, 0), page(round)) }
            store.close()
            let sync = Task { try await world.disk.sync() }
            try await store.untilWaiting()
            for chunk in 0..<Self.chunkCount { try await world.write(offset(chunk, 1), page(round)) }
            let written = Int(round) + 1
            store.open()
            for chunk in (0..<Self.chunkCount).shuffled() {
                try await world.write(offset(chunk, written), page(100 + round))
            }
            try await sync.value
            try await world.flush()
            if round == 2 { try await world.detach(commit: false) } else { try await world.crash() }
            try await world.attach()
            var lost = 0
            for chunk in 0..<Self.chunkCount where try await world.read(offset(chunk, written), 1) != [100 + round] {
                lost += 1
            }
            #expect(lost == 0, "round \(round)")
            _ = try await world.disk.evict(wait: true)
        }
        try await world.detach()
    }

    @Test("a write that another has noted but not yet listed is there after its flush and a crash")
    func notedByAnother() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 1, count: 1 << 20))
        _ = try await world.disk.evict(wait: true)
        try await world.write(0, page(2))
        try await world.flush()
        // The first of two writers of a page is interrupted after it has set the bits.
        let slot = world.plane.table.load(ChunkIndex(0)).slot
        world.plane.pages.insert(slot, 1..<2, dirty: true)
        try await world.write(4096, page(3))
        try await world.flush()
        try await world.crash()
        try await world.attach()
        #expect(try await world.read(4096, 4096) == page(3))
        try await world.detach()
    }

    @Test("the same in a chunk that a commit has just recorded as clean, and that another writer is opening again")
    func notedByAnotherAfterCommit() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, uploadInterval: .seconds(3600))
        try await world.attach()
        let chunk = ChunkIndex(0)
        let cache = world.disk.cache
        try await world.write(0, [UInt8](repeating: 1, count: 1 << 20))
        try await world.flush()
        store.close()
        let sync = Task { try await world.disk.sync() }
        try await store.untilWaiting()
        // As a writer that has the chunk's lock: it opens the chunk for hits, and has not written yet.
        await cache.lock(chunk)
        store.open()
        try await eventually { await !cache.recordedWhole.contains(chunk) }
        try await cache.becomeDirty(chunk, overwriting: 0..<1)
        // The first of two hits is interrupted after it has set the bits.
        world.plane.pages.insert(world.plane.table.load(chunk).slot, 5..<6, dirty: true)
        try await world.write(5 * 4096, page(3))
        await cache.unlock(chunk)
        try await sync.value
        try await world.flush()
        try await world.crash()
        try await world.attach()
        #expect(try await world.read(5 * 4096, 4096) == page(3))
        try await world.detach()
    }

    @Test("what is trimmed while a flush records it has no dirty pages after a crash")
    func trimmedInMidFlush() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 1, count: 1 << 20))
        let bitmap = world.disk.bitmap
        let gate = Mutex(false)
        let hold = Task { await bitmap.hold { gate.withLock { $0 } } }
        let cache = world.disk.cache
        let flush = Task { try await world.flush() }
        // The snapshot is taken when nothing is left to be recorded.
        try await eventually { await cache.changed.isEmpty }
        try await world.deallocate(0, 8192)
        gate.withLock { $0 = true }
        await hold.value
        try await flush.value
        try await world.flush()
        try await world.crash()
        try await world.attach()
        #expect(await world.disk.status().dirtyBytes == (1 << 20) - 8192)
        #expect(try await world.read(0, 8192).allSatisfy { $0 == 0 })
        try await world.detach()
    }
}

extension BitmapActor {
    /// Keeps its thread until something is so.
    fileprivate func hold(until isOver: @Sendable () -> Bool) {
        while !isOver() { usleep(1000) }
    }
}
