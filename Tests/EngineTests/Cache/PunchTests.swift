import Foundation
import Linux
import Testing
import VDriveModel
import VDriveTestKit

@testable import VDriveEngine

/// Files that are written and not punched.
private enum Punches {
    /// To a file that is append-only, who has it open already goes on writing; holes are refused.
    static func forbid(_ file: String, _ forbids: Bool = true) async throws {
        try await mustRun(["chattr", forbids ? "+a" : "-a", file])
    }

    static func canForbid() async -> Bool {
        let file = EngineWorld.parent + "vdrive-punch-\(UUID().uuidString)"
        defer { try? Directory.removeFile(file) }
        guard FileManager.default.createFile(atPath: file, contents: nil) else { return false }
        do {
            try await forbid(file)
            try await forbid(file, false)
            return true
        } catch {
            return false
        }
    }
}

/// A cache file that gives no space back for a while: what could not be punched is never read as data again.
@Suite(
    .enabled("a file that takes writes but no punches needs root, and a filesystem that has such") {
        await Punches.canForbid()
    }
)
struct PunchTests {
    private static let chunkBytes = 256 << 10
    private static let part = UInt64(chunkBytes)
    private let old = VerificationTests.noise(Self.chunkBytes, seed: 1)

    /// A world with one committed chunk of noise, and another one.
    private func world() async throws -> EngineWorld {
        let world = try await EngineWorld(chunkBytes: Self.chunkBytes, cacheBytes: 8 << 20)
        try await world.attach()
        try await world.write(0, old)
        try await world.write(Self.part, old)
        try await world.disk.sync()
        return world
    }

    private func forbid(_ world: EngineWorld, _ forbids: Bool = true) async throws {
        try await Punches.forbid(world.folder + "/cache/cache.0000", forbids)
    }

    private func isZero(_ world: EngineWorld) async throws -> Bool {
        try await world.read(0, Self.chunkBytes).allSatisfy { $0 == 0 }
    }

    @Test("a chunk whose eviction could not punch it is zeros after a trim, here and on the remote")
    func evictedThenTrimmed() async throws {
        let world = try await world()
        try await forbid(world)
        _ = try await world.disk.evict([0..<Self.part]) { _ in }
        #expect(await world.disk.cache.unpunched == [ChunkIndex(0)])
        // A trim cannot do either.
        await #expect(throws: Errno.ioError) { try await world.deallocate(0, Self.part) }
        try await forbid(world, false)
        try? await world.detach()
        try await world.attach()
        #expect(try await same(world.read(0, Self.chunkBytes), old))
        try await forbid(world)
        _ = try await world.disk.evict([0..<Self.part]) { _ in }
        try await forbid(world, false)
        try await world.deallocate(0, Self.part)
        #expect(try await isZero(world))
        #expect(await world.disk.cache.unpunched.isEmpty)
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        #expect(try await isZero(world))
        try await world.detach()
    }

    @Test("one chunk that could not be punched keeps no other from it; all are tried again", arguments: [false, true])
    func triedAgain(stops: Bool) async throws {
        let world = try await world()
        try await forbid(world)
        _ = try await world.disk.evict([0..<2 * Self.part]) { _ in }
        let before = await world.disk.status().usedBytes
        #expect(before == 2 * Self.part)
        if stops {
            // The stop is no clean one: what lies there is swept at the next start.
            try await world.detach()
            try await forbid(world, false)
            try await world.attach()
        } else {
            try await forbid(world, false)
        }
        try await eventually {
            // The note goes a moment after the bytes.
            let isNoted = await !world.disk.cache.unpunched.isEmpty
            return await world.disk.status().usedBytes == 0 && !isNoted
        }
        try await world.deallocate(0, Self.part)
        #expect(try await isZero(world))
        #expect(try await same(world.read(Self.part, Self.chunkBytes), old))
        try await world.detach()
    }

    @Test("a chunk that was not punched is fetched and written like any other")
    func filledAndWritten() async throws {
        let world = try await world()
        let new = VerificationTests.noise(Self.chunkBytes, seed: 2)
        try await world.write(0, new)
        try await world.disk.sync()
        try await forbid(world)
        _ = try await world.disk.evict([0..<2 * Self.part]) { _ in }
        #expect(try await same(world.read(8192, 4096), Array(new[8192..<12288])))
        try await world.write(Self.part + 4096, Array(new[..<4096]))
        try await world.disk.sync()
        try await forbid(world, false)
        try await eventually { await world.disk.cache.unpunched.isEmpty }
        var mixed = old
        mixed.replaceSubrange(4096..<8192, with: new[..<4096])
        #expect(try await same(world.read(0, Self.chunkBytes), new))
        #expect(try await same(world.read(Self.part, Self.chunkBytes), mixed))
        try await world.detach()
    }

    @Test("a deallocation that could not punch is no success")
    func deallocate() async throws {
        let world = try await world()
        try await world.write(0, old)
        try await forbid(world)
        await #expect(throws: Errno.ioError) { try await world.deallocate(4096, 8192) }
        try await forbid(world, false)
        try? await world.detach()
    }
}
