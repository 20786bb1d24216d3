import Foundation
import Synchronization
import Testing
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// Uploads that a person has paused: nothing goes up but what somebody asks for, and nothing is lost of it.
@Suite struct UploadPauseTests {
    private final class Count: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func add() { count.withLock { $0 += 1 } }
    }

    private func page(_ value: Int) -> [UInt8] { [UInt8](repeating: UInt8(value), count: 4096) }

    private func world(_ store: any ObjectStore, _ durability: Durability = .local) async throws -> EngineWorld {
        let world = try await EngineWorld(store: store, durability: durability, uploadInterval: .milliseconds(50))
        try await world.attach()
        return world
    }

    /// How many chunks and commits the remote has.
    private func counts(_ store: MemoryStore) -> [Int] {
        ["blocks/", "commits/"].map { folder in store.names.count { $0.hasPrefix(folder) } }
    }

    /// Writes eight chunks, and pauses the uploads while the first of them are on their way: their epoch stands still.
    private func pauseInMidEpoch(_ world: EngineWorld, _ store: GateStore) async throws {
        // Held back first, so that all of them are one epoch; and all that begin together wait at the gate, or one that
        // is being compressed would be held back on its way.
        await world.disk.pauseUploads()
        for chunk in 0..<8 { try await world.write(UInt64(chunk) << 20, page(chunk + 1)) }
        store.close()
        await world.disk.resumeUploads()
        try await eventually { store.waiting == EngineLimits.parallelUploads }
        await world.disk.pauseUploads()
        store.open()
        try await eventually { await world.disk.uploadQueue(limit: 0).uploadingChunks == 0 }
    }

    @Test("nothing goes up while paused, and everything after it")
    func pauses() async throws {
        let store = MemoryStore()
        let world = try await world(store)
        await world.disk.pauseUploads()
        let before = counts(store)
        for chunk in 0..<8 { try await world.write(UInt64(chunk) << 20, page(chunk + 1)) }
        try await world.flush()
        try await Task.sleep(for: .milliseconds(500))
        #expect(counts(store) == before)
        let queue = await world.disk.uploadQueue(limit: 3)
        #expect(queue.isPaused && queue.epoch == nil && queue.chunkCount == 8 && queue.uploadingChunks == 0)
        #expect(queue.chunks.map(\.index) == [0, 1, 2].map { ChunkIndex($0) }, "the oldest first")
        #expect(queue.chunks.allSatisfy { $0.state == .dirty && $0.dirtyBytes == 4096 && $0.retries == 0 })
        #expect(queue.chunks.allSatisfy { (0.5...60).contains($0.dirtySeconds ?? 0) })
        #expect(queue.dirtyBytes == 8 * 4096)
        #expect(await world.disk.status().isPaused)
        await world.disk.resumeUploads()
        try await eventually { await world.disk.uploadQueue(limit: 9).chunkCount == 0 }
        #expect(counts(store) == [before[0] + 8, before[1] + 1])
        #expect(await !world.disk.status().isPaused)
        try await world.detach()
    }

    @Test("an epoch in flight stands still before its next chunk, tells so, and goes on where it was")
    func standsStill() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await world(store)
        await world.disk.pauseUploads()
        for chunk in 0..<32 { try await world.write(UInt64(chunk) << 20, page(chunk + 1)) }
        store.close()
        await world.disk.resumeUploads()
        try await eventually { store.waiting == EngineLimits.parallelUploads }
        await world.disk.pauseUploads()
        let commits = counts(store.inner)[1]
        store.open()
        try await eventually {
            let queue = await world.disk.uploadQueue(limit: 0)
            return store.puts >= EngineLimits.parallelUploads && queue.uploadingChunks == 0
        }
        try await Task.sleep(for: .milliseconds(300))
        #expect(store.puts == EngineLimits.parallelUploads, "those that had begun, and no more")
        let queue = await world.disk.uploadQueue(limit: 100)
        let epoch = try #require(queue.epoch)
        #expect(epoch.stage == .uploading && epoch.chunks == 32)
        #expect(epoch.uploadedChunks == EngineLimits.parallelUploads && queue.uploadingChunks == 0)
        #expect(queue.chunks.count { $0.state == .uploaded } == EngineLimits.parallelUploads)
        #expect(queue.chunks.count { $0.state == .sealed } == 32 - EngineLimits.parallelUploads)
        // Writes go on; those to a sealed chunk, too.
        try await world.write(31 << 20, page(99))
        try await world.flush()
        #expect(counts(store.inner)[1] == commits)
        await world.disk.resumeUploads()
        try await eventually { await world.disk.uploadQueue(limit: 0).chunkCount == 0 }
        try await world.detach()
        let other = try await EngineWorld(store: store)
        try await other.attach()
        for chunk in 0..<31 {
            #expect(try await same(other.read(UInt64(chunk) << 20, 4096), page(chunk + 1)))
        }
        #expect(try await same(other.read(31 << 20, 4096), page(99)))
        try await other.detach()
    }

    @Test("a sync uploads all the same, and what comes after it waits again")
    func syncs() async throws {
        let store = MemoryStore()
        let world = try await world(store)
        await world.disk.pauseUploads()
        try await world.write(0, page(1))
        try await world.disk.sync()
        #expect(await world.disk.uploadQueue(limit: 0).chunkCount == 0)
        let after = counts(store)
        try await world.write(1 << 20, page(2))
        try await Task.sleep(for: .milliseconds(300))
        #expect(counts(store) == after && after[0] == 1)
        // The detach is a wish like a sync.
        try await world.detach()
        #expect(counts(store)[0] == 2)
    }

    @Test("a sync takes an epoch with it that stood still")
    func syncsTheEpochInFlight() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await world(store)
        try await pauseInMidEpoch(world, store)
        try await world.disk.sync()
        #expect(await world.disk.uploadQueue(limit: 0).chunkCount == 0)
        try await world.detach()
    }

    @Test("a flush with remote durability waits for the end of the pause; a detach does not")
    func flushes() async throws {
        let world = try await world(MemoryStore(), .remote)
        await world.disk.pauseUploads()
        try await world.write(0, page(1))
        let answered = Count()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await world.flush()
                answered.add()
            }
            try await Task.sleep(for: .milliseconds(300))
            #expect(answered.value == 0)
            await world.disk.resumeUploads()
            try await group.waitForAll()
        }
        await world.disk.pauseUploads()
        try await world.write(0, page(2))
        // As an unmount does.
        await world.disk.leave()
        try await world.flush()
        await world.disk.stay()
        try await world.write(0, page(3))
        #expect(await world.disk.uploads.hold.isHeld)
        // As `disk.sync` does for the filesystem on top.
        try await world.disk.uploading { () async throws in try await world.flush() }
        #expect(await world.disk.uploads.hold.isHeld)
        try await world.detach()
    }

    @Test("writers wait when the cache is full of changes, and a warning says why")
    func full() async throws {
        let world = try await EngineWorld(
            diskBytes: 64 << 20,
            cacheBytes: 8 << 20,
            uploadInterval: .milliseconds(50)
        )
        try await world.attach()
        await world.disk.pauseUploads()
        let written = Count()
        let megabyte = [UInt8](repeating: 5, count: 1 << 20)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for chunk in 0..<16 {
                    try await world.write(UInt64(chunk) << 20, megabyte)
                    written.add()
                }
            }
            try await eventually { await world.disk.status().warnings.contains { $0.contains("paused") } }
            #expect(written.value < 16)
            await world.disk.resumeUploads()
            try await group.waitForAll()
        }
        #expect(await world.disk.status().warnings.isEmpty)
        try await world.disk.sync()
        for chunk in 0..<16 { #expect(try await same(world.read(UInt64(chunk) << 20, 1 << 20), megabyte)) }
        try await world.detach()
    }

    @Test("a disk that ends while its epoch stands still ends at once, and the next attach goes on")
    func ends() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await world(store)
        try await pauseInMidEpoch(world, store)
        let seconds = try await ContinuousClock().measure { try await world.detach(commit: false) } / .seconds(1)
        #expect(seconds < 30)
        try await world.attach()
        #expect(await !world.disk.status().isPaused, "a pause ends with the disk")
        let queue = await world.disk.uploadQueue(limit: 100)
        #expect(queue.chunks.filter { $0.state == .dirty }.allSatisfy { $0.dirtySeconds == nil })
        try await world.disk.sync()
        for chunk in 0..<8 { #expect(try await same(world.read(UInt64(chunk) << 20, 4096), page(chunk + 1))) }
        try await world.detach()
    }

    @Test("whoever was taken over finds out, paused, idle, or in the middle of an epoch", arguments: [false, true])
    func fenced(inFlight: Bool) async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await world(store)
        if inFlight { try await pauseInMidEpoch(world, store) } else { await world.disk.pauseUploads() }
        let other = try await EngineWorld(store: store)
        try await other.attach(AttachIntent(takesOver: true))
        // The minute is over.
        await world.disk.uploads.makeLookDue()
        try await eventually { await world.disk.status().state == .fenced }
        #expect(await world.disk.uploads.hold.isPaused)
        try await other.detach()
        try await world.detach()
    }

    @Test("tries that failed are counted, chunk by chunk")
    func retries() async throws {
        let store = GateStore(holding: "blocks/", refuses: true)
        let world = try await world(store)
        try await world.write(3 << 20, page(1))
        try await eventually { await world.disk.uploadQueue(limit: 1).chunks.first?.retries ?? 0 > 0 }
        let chunk = try #require(await world.disk.uploadQueue(limit: 1).chunks.first)
        #expect(chunk.index == ChunkIndex(3) && chunk.state == .uploading)
        store.stopRefusing()
        try await world.disk.sync()
        try await world.detach()
    }
}

extension UploadQueueActor {
    fileprivate func makeLookDue() { lastLook = 0 }
}
