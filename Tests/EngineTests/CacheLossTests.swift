import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore

@Suite struct CacheLossTests {
    @Test("a cache directory thrown away beside full metadata is noticed, not read as zeros")
    func lostCache() async throws {
        let world = try await EngineWorld()
        try await world.attach()
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        try await world.write(3 << 20, bytes)
        try await world.disk.sync()
        try await world.detach()
        try Directory.removeTree(world.folder + "/cache")
        try await world.attach()
        #expect(try await same(world.read(3 << 20, 1 << 20), bytes))
        try await world.detach()
    }

    @Test(
        "a cache file that is gone, or cut short, is noticed, not read as zeros",
        arguments: [false, true],
        [false, true]
    )
    func lostFile(isDirty: Bool, isCut: Bool) async throws {
        let world = try await EngineWorld(uploadInterval: .seconds(3600))
        try await world.attach()
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        try await world.write(3 << 20, bytes)
        try await world.disk.sync()
        if isDirty { try await world.write(3 << 20, [UInt8](repeating: 8, count: 4096)) }
        // This side of the cut nothing is lost.
        if isCut { try await world.write(0, bytes) }
        try await world.detach(commit: false)
        let path = world.folder + "/cache/cache.0000"
        if isCut {
            try OpenFile.open(path, flags: O_RDWR).truncate(to: 2 << 20)
        } else {
            try Directory.removeFile(path)
        }
        try await world.attach()
        #expect(try await same(world.read(3 << 20, 1 << 20), bytes))
        if isCut { #expect(try await same(world.read(0, 1 << 20), bytes)) }
        let warnings = await world.disk.status().warnings
        #expect(warnings.contains { $0.contains("4096 bytes that were not uploaded are lost") } == isDirty)
        try await world.detach()
    }

    @Test("somebody else's cache in the same place is not taken for ours")
    func foreignCache() async throws {
        let one = try await EngineWorld()
        let two = try await EngineWorld()
        for world in [one, two] {
            try await world.attach()
            try await world.write(0, [UInt8](repeating: world === one ? 1 : 2, count: 1 << 20))
            try await world.detach()
        }
        try Directory.rename(one.folder + "/cache", to: one.folder + "/gone")
        try Directory.rename(two.folder + "/cache", to: one.folder + "/cache")
        try await one.attach()
        #expect(try await same(one.read(0, 4096), [UInt8](repeating: 1, count: 4096)))
        try await one.detach()
    }

    @Test("what a crash left unchecked gives room like everything that is clean")
    func uncheckedGivesRoom() async throws {
        let world = try await EngineWorld(cacheBytes: 24 << 20)
        try await world.attach()
        for chunk in 0..<UInt64(14) { try await world.write(chunk << 20, [UInt8](repeating: 9, count: 1 << 20)) }
        try await world.disk.sync()
        try await world.crash()
        try await world.attach()
        // At once: nobody has touched them, and the check in the background has hardly begun.
        #expect(try await world.disk.evict(wait: false) >= 12 << 20)
        #expect(try await same(world.read(5 << 20, 4096), [UInt8](repeating: 9, count: 4096)))
        try await world.detach()
    }
}
