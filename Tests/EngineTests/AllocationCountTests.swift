import Synchronization
import Testing
import VDriveDataPlane
import VDriveEngine

@Suite struct AllocationCountTests {
    /// A chunk that an earlier run wrote, and did not upload, is in no commit's count.
    @Test("a chunk that comes back dirty and becomes zeros is not counted below zero")
    func trimmedAfterRestart() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        try await world.write(1 << 20, [UInt8](repeating: 3, count: 1 << 20))
        try await world.write(5 << 20, [UInt8](repeating: 4, count: 4096))
        try await world.detach(commit: false)
        try await world.attach()
        try await world.deallocate(1 << 20, 1 << 20)
        try await world.disk.sync()
        #expect(world.plane.counters.allocatedBytes.load(ordering: .relaxed) == 1 << 20)
        try await world.detach()
    }
}
