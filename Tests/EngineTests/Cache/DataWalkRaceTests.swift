import Testing
import VDriveModel

@testable import VDriveEngine

/// Chunks that a commit moves from the dirty ones to the map while somebody asks for what is allocated.
@Suite struct DataWalkRaceTests {
    @Test("a chunk whose first epoch is just being committed is data all the time")
    func commitMeetsWalk() async throws {
        let world = try await EngineWorld(
            diskBytes: 1 << 30,
            chunkBytes: 64 << 10,
            uploadInterval: .seconds(3600)
        )
        try await world.attach()
        let cache = world.disk.cache
        var missed = 0
        for number in 0..<300 as Range<UInt64> {
            let chunk = ChunkIndex(number)
            try await world.write(number << 16, [1])
            missed += try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        var missed = 0
                        while !Task.isCancelled {
                            if try await cache.nextData(from: chunk) != chunk { missed += 1 }
                        }
                        return missed
                    }
                }
                try await world.disk.sync()
                group.cancelAll()
                var sum = 0
                for try await one in group { sum += one }
                return sum
            }
        }
        #expect(missed == 0)
        try await world.detach()
    }
}
