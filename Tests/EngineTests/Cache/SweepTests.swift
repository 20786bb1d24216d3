import Testing
import VDriveDataPlane
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// What an unclean stop left in the cache beside what LMDB records is punched (ordering rule 3), and nothing else is
/// touched: a start costs what lies there.
@Suite struct SweepTests {
    private static let chunkBytes = 4 << 20
    private static let pages = 1024

    private func page(_ number: Int) -> [UInt8] {
        [UInt8](repeating: UInt8(truncatingIfNeeded: number * 7 + 1), count: 4096)
    }

    /// A disk of two chunks, none of it in the cache but every other page of the first one, dirty and flushed.
    private func scatteredWorld() async throws -> (EngineWorld, [UInt8]) {
        let world = try await EngineWorld(chunkBytes: Self.chunkBytes, uploadInterval: .seconds(3600))
        try await world.attach()
        var bytes = VerificationTests.noise(2 * Self.chunkBytes, seed: 3)
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try await world.write(UInt64(start), Array(bytes[start..<start + 1 << 20]))
        }
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        for number in stride(from: 0, to: Self.pages, by: 2) {
            try await world.write(UInt64(number * 4096), page(number))
            bytes.replaceSubrange(number * 4096..<(number + 1) * 4096, with: page(number))
        }
        try await world.flush()
        return (world, bytes)
    }

    private func check(_ world: EngineWorld, _ bytes: [UInt8]) async throws {
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            let found = try await world.read(UInt64(start), 1 << 20)
            #expect(same(found, Array(bytes[start..<start + 1 << 20])), "at \(start)")
        }
    }

    @Test("a start after a crash punches nothing where everything is recorded, however scattered it is")
    func scattered() async throws {
        let (world, bytes) = try await scatteredWorld()
        try await world.crash()
        try await world.attach()
        #expect(await world.disk.cache.sweptHoles == 0)
        #expect(await world.disk.status().usedBytes == UInt64(Self.pages / 2 * 4096))
        try await check(world, bytes)
        try await world.disk.sync()
        try await check(world, bytes)
        try await world.detach()
    }

    @Test("bytes that no flush recorded are punched, beside recorded pages of their chunk, and in others")
    func unrecorded() async throws {
        let (world, bytes) = try await scatteredWorld()
        for number in [101, 103, Self.pages + 9] { try await world.write(UInt64(number * 4096), page(0)) }
        try await world.crash()
        try await world.attach()
        let holes = [101, 103, Self.pages + 9]
        for number in holes {
            #expect(try world.plane.cache.isHole(at: UInt64(number * 4096), count: 4096), "page \(number)")
        }
        #expect(await world.disk.cache.sweptHoles == holes.count)
        #expect(await world.disk.status().usedBytes == UInt64(Self.pages / 2 * 4096))
        try await check(world, bytes)
        try await world.detach()
    }
}
