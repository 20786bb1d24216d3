import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// A chunk is written in part while the object with its other parts is lost: the rest of the disk must go on.
@Suite struct LostPagesTests {
    private typealias World = VerificationTests

    @Test("one lost object holds up nothing but its own pages, which stay an error until they are written")
    func lostBase() async throws {
        let folder = try makeScratchFolder("lost-pages")
        defer { try? Directory.removeTree(folder.path) }
        let store = FileStore(path: folder.path)
        let (world, bytes) = try await World.coldWorld(store)
        let name = try #require(try filesBelow(folder.appendingPathComponent("blocks")).first { $0.contains("00000.") })
        let object = folder.appendingPathComponent("blocks/" + name)
        // A byte in the fifth frame; all frames are stored, and so of one length.
        var damaged = Array(try Data(contentsOf: object))
        damaged[96 + 4 * (World.frameBytes + 20) + 1000] ^= 1
        try Data(damaged).write(to: object)

        // In frame 0, and half of the damaged frame.
        let patch = World.noise(64 << 10, seed: 9)
        let inLost = UInt64(4 * World.frameBytes)
        try await world.write(0, patch)
        try await world.write(inLost, patch)
        try await world.write(UInt64(World.chunkBytes), patch)
        await #expect(throws: DiskError.self) { try await world.disk.sync() }
        try await eventually { (try? await world.disk.sync()) != nil }
        #expect(FileManager.default.fileExists(atPath: object.path), "what may be repaired is not deleted")
        try await check(world, bytes, patch)

        // The same from the remote alone.
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        try await check(world, bytes, patch)
        let image = folder.path + "-disk.img"
        defer { try? Directory.removeFile(image) }
        let rebuild = SharedTools.packageFolder.appendingPathComponent("contrib/rebuild/rebuild").path
        let answer = try await runProgram([rebuild, folder.path, image])
        #expect(answer.status == 3 && answer.errors.contains("chunk 0: 16 pages were lost"), "\(answer)")

        // Another partial write takes the loss along; a write of the lost pages ends it.
        try await world.write(65536, patch)
        try await world.disk.sync()
        await #expect(throws: Errno.ioError) { try await world.read(inLost + 65536, 4096) }
        try await world.write(inLost + 65536, patch)
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        #expect(try await same(world.read(inLost + 65536, 65536), patch))
        let whole = try await world.read(0, World.chunkBytes)
        #expect(same(Array(whole[196_608..<4 * World.frameBytes]), Array(bytes[196_608..<4 * World.frameBytes])))
        try await world.detach()
    }

    private func check(_ world: EngineWorld, _ bytes: [UInt8], _ patch: [UInt8]) async throws {
        let inLost = UInt64(4 * World.frameBytes)
        _ = try await world.disk.evict(wait: true)
        #expect(try await same(world.read(0, patch.count), patch))
        #expect(try await same(world.read(inLost, patch.count), patch))
        #expect(try await same(world.read(UInt64(World.chunkBytes), patch.count), patch))
        await #expect(throws: Errno.ioError) { try await world.read(inLost + 65536, 4096) }
        await #expect(throws: Errno.ioError) { try await world.read(inLost + 2 * 65536 - 4096, 4096) }
        let after = 5 * World.frameBytes
        #expect(try await same(world.read(UInt64(after), 4096), Array(bytes[after..<after + 4096])))
        #expect(try await same(world.read(inLost - 4096, 4096), Array(bytes[Int(inLost) - 4096..<Int(inLost)])))
    }

    private func filesBelow(_ folder: URL) throws -> [String] {
        (FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String } ?? [])
            .filter { $0.hasSuffix(".zst") }
    }
}
