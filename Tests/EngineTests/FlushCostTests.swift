import Testing
import VDriveModel

@testable import VDriveEngine

/// Ordering rule 1: what a flush costs.
@Suite struct FlushCostTests {
    @Test("flushes that wait together share one cycle")
    func sharedCycle() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        try await world.write(0, [UInt8](repeating: 1, count: 4096))
        try await world.flush()
        let cache = world.disk.cache
        let before = await cache.flushCycles
        // The first cycle is held back until all others wait.
        await cache.lockRecording()
        let flushes = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<64 { group.addTask { try await world.flush() } }
                try await group.waitForAll()
            }
        }
        while await cache.flushWaiters.count < 63 { try await Task.sleep(for: .milliseconds(1)) }
        await cache.unlockRecording()
        try await flushes.value
        #expect(await cache.flushCycles - before == 2, "one for the first, one for the 63 that came meanwhile")
        try await world.detach()
    }

    @Test("a flush without a change of metadata is an fdatasync and no LMDB commit")
    func noMetadataChange() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        let disk = world.disk
        try await world.write(8192, [UInt8](repeating: 1, count: 8192))
        let fresh = await disk.bitmap.lastTransaction
        try await world.flush()
        let recorded = await disk.bitmap.lastTransaction
        #expect(recorded == fresh + 1, "the pages are recorded by one commit")
        for round in 0..<5 {
            let cycles = await disk.cache.flushCycles
            try await world.write(8192, [UInt8](repeating: UInt8(round + 2), count: 8192))
            try await world.flush()
            #expect(await disk.bitmap.lastTransaction == recorded, "round \(round)")
            #expect(await disk.cache.flushCycles == cycles + 1)
        }
        try await world.flush()
        #expect(await disk.bitmap.lastTransaction == recorded, "nothing was written at all")
        try await world.write(16384, [UInt8](repeating: 9, count: 4096))
        try await world.flush()
        #expect(await disk.bitmap.lastTransaction == recorded, "a new page of a chunk that is recorded whole")
        let next = UInt64(disk.geometry.chunkBytes)
        try await world.write(next, [UInt8](repeating: 9, count: 4096))
        try await world.flush()
        #expect(await disk.bitmap.lastTransaction == recorded + 1, "a new chunk is a change")
        #expect(try await same(world.read(8192, 8192), [UInt8](repeating: 6, count: 8192)))
        try await world.detach()
    }

    @Test("pages that a flush did not note are there after a crash, and are counted after a clean stop")
    func unnotedPages() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        let pages = Array(stride(from: 0 as UInt64, to: 20 * 4096, by: 2 * 4096))
        for (number, page) in pages.enumerated() {
            try await world.write(page, [UInt8](repeating: UInt8(number + 1), count: 4096))
            try await world.flush()
        }
        let recorded = await world.disk.bitmap.lastTransaction
        try await world.crash()
        try await world.attach()
        for (number, page) in pages.enumerated() {
            #expect(try await world.read(page, 4096) == [UInt8](repeating: UInt8(number + 1), count: 4096))
        }
        // What the remote gets is the same, and an epoch makes a new record necessary.
        try await world.disk.sync()
        try await world.write(1 << 20, [1])
        try await world.write(pages[0], [UInt8](repeating: 99, count: 4096))
        try await world.flush()
        #expect(await world.disk.bitmap.lastTransaction > recorded)
        try await world.write(4096, [UInt8](repeating: 98, count: 4096))
        try await world.flush()
        try await world.detach(commit: false)
        try await world.attach()
        #expect(await world.disk.status().dirtyBytes == 3 * 4096)
        try await world.detach()
        let other = try await EngineWorld(store: world.store)
        try await other.attach()
        let first = try await other.read(0, 3 * 4096)
        #expect(first[0] == 99 && first[4096] == 98 && first[8192] == 2)
        try await other.detach()
    }

    @Test("what was trimmed after a flush has no dirty pages after a crash: they take no space")
    func trimmedAfterFlush() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        let chunkBytes = world.geometry.chunkBytes
        for chunk in 0..<2 {
            try await world.write(UInt64(chunk * chunkBytes), [UInt8](repeating: 1, count: chunkBytes))
        }
        try await world.flush()
        try await world.deallocate(0, UInt64(chunkBytes))
        try await world.deallocate(UInt64(chunkBytes), 8192)
        try await world.flush()
        try await world.crash()
        try await world.attach()
        #expect(await world.disk.status().dirtyBytes == UInt64(chunkBytes - 8192))
        #expect(try await world.read(0, chunkBytes).allSatisfy { $0 == 0 })
        let second = try await world.read(UInt64(chunkBytes), chunkBytes)
        #expect(second.prefix(8192).allSatisfy { $0 == 0 } && second.dropFirst(8192).allSatisfy { $0 == 1 })
        try await world.detach()
    }

    @Test("in a chunk that is here in part, a page that was not there is a change, one that was is none")
    func partialChunk() async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        let noise = VerificationTests.noise(1 << 20, seed: 5)
        try await world.write(0, noise)
        _ = try await world.disk.evict(wait: true)
        try await world.write(0, [UInt8](repeating: 1, count: 4096))
        try await world.flush()
        let recorded = await world.disk.bitmap.lastTransaction
        try await world.write(4096, [UInt8](repeating: 2, count: 4096))
        try await world.flush()
        #expect(await world.disk.bitmap.lastTransaction == recorded + 1)
        try await world.crash()
        try await world.attach()
        let found = try await world.read(0, 12288)
        #expect(found[0] == 1 && found[4096] == 2 && found[8192] == noise[8192])
        try await world.detach()
    }
}

extension CacheActor {
    fileprivate func unlockRecording() { recording.release() }
}
