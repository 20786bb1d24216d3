import Linux
import Synchronization
import Testing
import VDriveDataPlane
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// Writers wait for uploads as long as these can help them, and no longer.
@Suite struct RoomTests {
    private static let chunkBytes = 256 << 10
    /// Half as much again as the cache takes.
    private static let pieces = 48

    private func piece(_ number: Int) -> [UInt8] { VerificationTests.noise(Self.chunkBytes, seed: UInt64(number + 1)) }

    /// Writes more than the cache takes while nothing can go up.
    ///
    /// - Returns: the world when its writer waits for room, and the writer.
    private func stuck(_ store: GateStore) async throws -> (EngineWorld, Outcome) {
        let world = try await EngineWorld(store: store, chunkBytes: Self.chunkBytes, cacheBytes: 8 << 20)
        try await world.attach()
        return (world, try await fill(world, store))
    }

    private func fill(_ world: EngineWorld, _ store: GateStore) async throws -> Outcome {
        store.close()
        let writer = Outcome {
            for number in 0..<Self.pieces {
                try await world.write(UInt64(number * Self.chunkBytes), piece(number))
            }
        }
        try await eventually { world.isUnderPressure }
        #expect(writer.result == nil, "the writer should wait")
        return writer
    }

    @Test("a writer that waits when another machine takes the disk over learns it")
    func takenOver() async throws {
        let store = GateStore(holding: "blocks/")
        let (world, writer) = try await stuck(store)
        let other = try await EngineWorld(store: store, chunkBytes: Self.chunkBytes)
        try await other.attach(AttachIntent(takesOver: true))
        store.open()
        #expect(try await writer.errno() == .readOnlyFileSystem)
        #expect(await world.disk.status().state == .fenced)
        try await other.detach()
        try await Outcome { try await world.detach(commit: false, releasing: false) }.end()
    }

    @Test("a writer that waits when the cache breaks down gets an error; so does a punch")
    func brokenDown() async throws {
        let store = GateStore(holding: "blocks/")
        let (world, writer) = try await stuck(store)
        // As after a failed fdatasync.
        await world.disk.cache.breakDown("The cache could not be made durable.")
        #expect(try await writer.errno() == .ioError)
        await #expect(throws: Errno.ioError) { try await world.deallocate(0, 4096) }
        store.open()
        try? await Outcome { try await world.detach(commit: false, releasing: false) }.end()
    }

    @Test("a writer that waits for a remote that is away keeps no disk from its end", arguments: [false, true])
    func stopped(commit: Bool) async throws {
        let store = GateStore(holding: "blocks/")
        let (world, writer) = try await stuck(store)
        if commit { world.disk.abandonUploads() }
        let stop = Outcome { try await world.detach(commit: commit, releasing: false) }
        if commit {
            await #expect(throws: DiskError.self) { try await stop.end() }
        } else {
            try await stop.end()
        }
        #expect(try await writer.errno() == .ioError)
        // What was written is there, and goes up from there.
        store.open()
        try await world.attach()
        #expect(try await same(world.read(0, Self.chunkBytes), piece(0)))
        try await world.detach()
    }

    @Test("a daemon that is told to wait for no remote ends the waits; nothing is written after what was refused")
    func hurried() async throws {
        let store = GateStore(holding: "blocks/")
        let (world, writer) = try await stuck(store)
        await world.disk.leave()
        await world.disk.giveUpRemote()
        #expect(try await writer.errno() == .ioError)
        await #expect(throws: Errno.ioError) { try await world.write(0, [1]) }
        try await Outcome { try await world.detach(commit: false, releasing: false) }.end()
    }

    @Test("deallocations that zero parts of pages need no buffer of those that slow writes hold")
    func edgesNeedNoBuffer() async throws {
        let world = try await EngineWorld(chunkBytes: Self.chunkBytes)
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 7, count: 1 << 20))
        try await world.disk.sync()
        let small = (0..<DataPlaneLimits.smallBuffers).map { _ in world.plane.buffers.lease(for: 1) }
        let large = (0..<DataPlaneLimits.largeBuffers).map { _ in
            world.plane.buffers.lease(for: DataPlaneLimits.requestBytesMax)
        }
        // One for each thread that touches the cache's disk.
        let punches = (0..<EngineLimits.cacheThreads).map { number in
            Outcome { try await world.deallocate(UInt64(number * Self.chunkBytes + 100), 20_000) }
        }
        for punch in punches { try await punch.end() }
        // Over a chunk's end: the bytes are put together on such a thread.
        try await Outcome { _ = try await world.read(UInt64(Self.chunkBytes - 4096), 8192) }.end()
        for number in 0..<EngineLimits.cacheThreads {
            let found = try await world.read(UInt64(number * Self.chunkBytes), 24_576)
            let isRight = found.enumerated().allSatisfy { $1 == ((100..<20_100).contains($0) ? 0 : 7) }
            #expect(isRight, "chunk \(number)")
        }
        withExtendedLifetime((small, large)) {}
        try await world.detach()
    }

    @Test("what a lost disk keeps can be copied though its cache is full, and what is copied is not all in it")
    func copied() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await EngineWorld(store: store, chunkBytes: Self.chunkBytes, cacheBytes: 8 << 20)
        try await world.attach()
        let last = UInt64(Self.pieces * Self.chunkBytes)
        var expected = piece(1000)
        try await world.write(last, expected)
        _ = try await world.disk.evict(wait: true)
        // The rest of this chunk is on the remote alone.
        try await world.write(last + 4096, [UInt8](repeating: 5, count: 4096))
        expected.replaceSubrange(4096..<8192, with: repeatElement(5, count: 4096))
        let writer = try await fill(world, store)
        let other = try await EngineWorld(store: store, chunkBytes: Self.chunkBytes)
        try await other.attach(AttachIntent(takesOver: true))
        store.open()
        #expect(try await writer.errno() == .readOnlyFileSystem)
        let target = try await EngineWorld(chunkBytes: Self.chunkBytes)
        try await target.attach()
        try await Outcome { [from = world.disk, to = target.disk] in try await from.copy(to: to) { _ in } }.end()
        #expect(try await same(target.read(last, Self.chunkBytes), expected))
        #expect(try await same(target.read(0, Self.chunkBytes), piece(0)))
        for one in [other, target] { try await one.detach() }
        try await world.detach(commit: false, releasing: false)
    }

    @Test("a detach with a full cache and a writer that waits uploads everything, when the remote is there")
    func detaches() async throws {
        let store = GateStore(holding: "blocks/")
        let (world, writer) = try await stuck(store)
        await world.disk.leave()
        store.open()
        try await writer.end()
        try await Outcome { try await world.detach() }.end()
        try world.loseMachine()
        try await world.attach()
        for number in 0..<Self.pieces {
            let found = try await world.read(UInt64(number * Self.chunkBytes), Self.chunkBytes)
            #expect(same(found, piece(number)), "piece \(number)")
        }
        try await world.detach()
    }
}
