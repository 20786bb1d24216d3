import Testing
import VDriveEngine
import VDriveModel

@Suite("cache policies on a disk")
struct CachePolicyTests {
    private static let chunkBytes = 64 << 10

    /// A disk all of which is on the store, and nothing in the cache.
    private func world(
        _ policy: CachePolicy,
        _ store: FetchCounter,
        chunks: Int = 512,
        cacheChunks: Int = 64
    ) async throws -> EngineWorld {
        let world = try await EngineWorld(
            store: store,
            diskBytes: UInt64(chunks * Self.chunkBytes),
            chunkBytes: Self.chunkBytes,
            cacheBytes: UInt64(cacheChunks * Self.chunkBytes),
            uploadInterval: .seconds(3600),
            cachePolicy: policy
        )
        try await world.attach()
        for chunk in 0..<chunks { try await world.write(offset(chunk), Self.content(chunk, 0)) }
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        return world
    }

    private func offset(_ chunk: Int) -> UInt64 { UInt64(chunk * Self.chunkBytes) }

    private static func content(_ chunk: Int, _ round: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(truncatingIfNeeded: chunk &* 31 &+ round &* 7 &+ 1), count: chunkBytes)
    }

    /// Reads a page of a chunk.
    ///
    /// - Returns: requests that this cost at the store.
    @discardableResult
    private func read(_ chunk: Int, of world: EngineWorld, _ store: FetchCounter) async throws -> Int {
        let before = store.count(of: chunk)
        let found = try await world.read(offset(chunk), 4096)
        #expect(same(found, Array(Self.content(chunk, 0)[..<4096])))
        return store.count(of: chunk) - before
    }

    @Test(
        "a scan leaves the hot chunks in the cache with s3fifo, and with lru it does not",
        arguments: CachePolicy.allCases
    )
    func scan(policy: CachePolicy) async throws {
        let store = FetchCounter()
        // Large enough for what a reader has ahead of it: on a slow machine that can be 32 chunks, counted twice.
        let world = try await world(policy, store, chunks: 720, cacheChunks: 192)
        // No two of them in a row, so that nothing is read ahead; a few others in between let time pass.
        let hot = (0..<32).map { $0 * 4 }
        for round in 0..<4 {
            for chunk in hot { try await read(chunk, of: world, store) }
            for other in 0..<6 { try await read((round * 6 + other) * 4 + 2, of: world, store) }
        }
        var again = 0
        for chunk in hot { again += try await read(chunk, of: world, store) }
        #expect(again == 0, "they fit in the cache")
        // Through 550 chunks from the first byte to the last, with read-ahead.
        for chunk in 150..<700 {
            for quarter in 0..<4 { _ = try await world.read(offset(chunk) + UInt64(quarter << 14), 1 << 14) }
        }
        var misses = 0
        for chunk in hot where try await read(chunk, of: world, store) > 0 { misses += 1 }
        switch policy {
        case .s3fifo: #expect(misses == 0)
        case .lru: #expect(misses == hot.count)
        }
        try await world.detach()
    }

    @Test("a chunk that is written now and then stays a hot one")
    func writtenChunks() async throws {
        let store = FetchCounter()
        let world = try await world(.s3fifo, store)
        let hot = (0..<16).map { $0 * 4 }
        for round in 0..<4 {
            for chunk in hot { try await world.write(offset(chunk), Self.content(chunk, 0)) }
            try await world.disk.sync()
            for other in 0..<6 { try await read((round * 6 + other) * 4 + 2, of: world, store) }
        }
        // Backwards: nothing is read ahead.
        for chunk in (300..<450).reversed() { try await read(chunk, of: world, store) }
        // Dirty while the scan goes on, and clean again afterwards.
        for chunk in hot { try await world.write(offset(chunk), Self.content(chunk, 0)) }
        for chunk in (150..<300).reversed() { try await read(chunk, of: world, store) }
        try await world.disk.sync()
        for chunk in (300..<450).reversed() { try await read(chunk, of: world, store) }
        var misses = 0
        for chunk in hot { misses += try await read(chunk, of: world, store) }
        #expect(misses == 0)
        try await world.detach()
    }

    @Test("the policy changes under load, and nothing is lost", .timeLimit(.minutes(3)))
    func changesLive() async throws {
        let store = FetchCounter()
        let world = try await world(.lru, store)
        let disk = world.disk
        // Each task has chunks of its own, so that it knows what they must hold.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    var random = SeededGenerator(seed: UInt64(task))
                    var rounds = [Int](repeating: 0, count: 128)
                    for step in 1...600 {
                        let own = Int.random(in: 0..<128, using: &random)
                        let chunk = own * 4 + task
                        if step % 3 == 0 {
                            rounds[own] = step
                            try await world.write(offset(chunk), Self.content(chunk, step))
                        } else {
                            let found = try await world.read(offset(chunk), Self.chunkBytes)
                            #expect(same(found, Self.content(chunk, rounds[own])), "chunk \(chunk)")
                        }
                    }
                    for own in 0..<128 {
                        let found = try await world.read(offset(own * 4 + task), Self.chunkBytes)
                        #expect(same(found, Self.content(own * 4 + task, rounds[own])))
                    }
                }
            }
            group.addTask {
                for change in 0..<60 {
                    await disk.setCachePolicy(change.isMultiple(of: 2) ? .s3fifo : .lru)
                    if change % 10 == 9 { try await disk.sync() }
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            try await group.waitForAll()
        }
        // What a policy did not know of any more would stay for ever.
        for policy in [CachePolicy.s3fifo, .lru] {
            await disk.setCachePolicy(policy)
            for chunk in 0..<40 { _ = try await world.read(offset(chunk), 4096) }
            // What is being read ahead may come in after an eviction.
            try await eventually {
                _ = try await disk.evict(wait: true)
                return await disk.status().usedBytes == 0
            }
        }
        try await world.detach()
    }
}
