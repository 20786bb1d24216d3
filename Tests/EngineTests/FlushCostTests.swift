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
        #expect(await disk.bitmap.lastTransaction == recorded + 1, "a new page is a change")
        #expect(try await same(world.read(8192, 8192), [UInt8](repeating: 6, count: 8192)))
        try await world.detach()
    }
}

extension CacheActor {
    fileprivate func unlockRecording() { recording.release() }
}
