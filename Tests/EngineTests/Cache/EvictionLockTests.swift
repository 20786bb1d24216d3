import Linux
import Testing
import VDriveModel
import VDriveTestKit

@testable import VDriveEngine

/// An eviction that fails lets go of everything that it holds.
@Suite struct EvictionLockTests {
    /// Faults are the whole process's, so this one has its own.
    @Test("an eviction that cannot check a chunk leaves no other one locked")
    func uncheckedChunk() async throws {
        await #expect(processExitsWith: .success) {
            let world = try await EngineWorld(diskBytes: 8 << 20, chunkBytes: 1 << 20)
            try await world.attach()
            for chunk in 0..<8 as Range<UInt64> {
                try await world.write(chunk << 20, VerificationTests.noise(1 << 20, seed: chunk + 1))
            }
            try await world.disk.sync()
            try await world.flush()
            try await world.crash()
            let cached = try OpenFile.open(world.folder + "/cache/cache.0000", flags: 2)
            try cached.pwriteAll([UInt8](repeating: 1, count: 4096), at: 7 << 20)
            // The last chunk is found changed, and cannot be dropped.
            try Faults.arm("evict.before-forget=fail")
            try await world.attach()
            let failed = await Result { try await world.disk.evict([0..<8 << 20]) { _ in } }
            Faults.disarm()
            guard case .failure = failed else { fatalError("nothing failed") }
            let deadline = ContinuousClock.now + .seconds(10)
            for chunk in 0..<8 as Range<UInt64> {
                while await world.disk.cache.locks.isHeld(ChunkIndex(chunk)) {
                    guard ContinuousClock.now < deadline else { fatalError("chunk \(chunk) is locked for ever") }
                    try await Task.sleep(for: .milliseconds(10))
                }
                // A first write needs the lock.
                try await world.write(chunk << 20, [UInt8](repeating: UInt8(chunk), count: 4096))
                let found = try await world.read(chunk << 20 + 4096, 4096)
                let expected = VerificationTests.noise(1 << 20, seed: chunk + 1)[4096..<8192]
                guard same(found, Array(expected)) else { fatalError("chunk \(chunk) reads wrong") }
            }
            try await world.detach()
        }
    }
}

extension Result where Failure == any Error {
    /// What a body gives or throws.
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
