import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// What an attach makes of the state and cache directories that it finds, and of a remote that it does not.
@Suite struct LocalStateTests {
    private func fill(_ value: UInt8, _ count: Int = 65536) -> [UInt8] { [UInt8](repeating: value, count: count) }

    /// A crash that leaves an unflushed write in a clean chunk, then a stop that records everything it knows: what
    /// nobody has looked at must not count as checked.
    @Test("a clean stop after an unclean one does not vouch for what was not checked in between")
    func uncheckedChunks() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        for chunk in 0..<64 { try await world.write(UInt64(chunk) << 16, fill(UInt8(chunk + 1))) }
        try await world.disk.sync()
        try await world.flush()
        for chunk in 0..<64 { try await world.write(UInt64(chunk) << 16, fill(0xAA, 4096)) }
        try await world.crash()
        try await world.attach()
        try await world.detach(commit: false)
        try await world.attach()
        for chunk in 0..<64 {
            let seen = try await world.read(UInt64(chunk) << 16, 4096)
            #expect(same(seen, fill(UInt8(chunk + 1), 4096)), "chunk \(chunk)")
        }
        try await world.detach()
    }

    @Test("a clean chunk damaged on the local disk is fetched again after a crash")
    func localDamage() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        for chunk in 0..<8 { try await world.write(UInt64(chunk) << 16, fill(UInt8(chunk + 1))) }
        try await world.disk.sync()
        try await world.flush()
        try await world.crash()
        let file = try OpenFile.open(world.folder + "/cache/cache.0000", flags: O_RDWR)
        for chunk in 0..<8 {
            try fill(0x55, 512).withUnsafeBytes { try file.pwriteAll($0, at: UInt64(chunk) << 16 + 8192) }
        }
        try await world.attach()
        for chunk in 0..<8 {
            #expect(try await same(world.read(UInt64(chunk) << 16, 65536), fill(UInt8(chunk + 1))), "chunk \(chunk)")
        }
        try await world.detach()
    }

    @Test("lost metadata is built anew; what the cache held is put aside, and said")
    func lostMetadata() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(1))
        try await world.disk.sync()
        try await world.write(0, fill(2))
        try await world.flush()
        try await world.crash()
        for name in ["data.mdb", "lock.mdb"] { try? Directory.removeFile(world.folder + "/state/" + name) }
        try await world.attach()
        #expect(try await same(world.read(0, 65536), fill(1)))
        let notices = await world.disk.status().warnings
        #expect(notices.contains { $0.contains("No metadata describes") && $0.contains("undescribed") }, "\(notices)")
        let aside = try Directory.list(world.folder + "/cache").filter { $0.hasPrefix("undescribed-") }
        #expect(aside.count == 1)
        let kept = try readFile(world.folder + "/cache/\(aside[0])/cache.0000", maxBytes: 128 << 20)
        #expect(same(Array(kept[0..<65536]), fill(2)))
        try await world.detach()
    }

    @Test("damaged metadata is refused, until a person gives the local changes up")
    func damagedMetadata() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(1))
        try await world.detach()
        let file = try OpenFile.open(world.folder + "/state/data.mdb", flags: O_RDWR)
        try fill(0x99, 16384).withUnsafeBytes { try file.pwriteAll($0, at: 0) }
        do {
            try await world.attach()
            Issue.record("damaged metadata was taken")
        } catch let error as DiskError {
            #expect(error.kind == .corrupt && error.message.contains("--discard-local"), "\(error)")
        }
        try await world.attach(AttachIntent(discardsLocal: true))
        #expect(try await same(world.read(0, 65536), fill(1)))
        try await world.detach()
    }

    @Test("with the remote away a held disk is served and written; the term is claimed when it is back")
    func offlineStart() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        for chunk in 0..<8 { try await world.write(UInt64(chunk) << 16, fill(UInt8(chunk + 1))) }
        try await world.disk.sync()
        try await world.write(0, fill(100))
        try await world.flush()
        try await world.crash()

        store.add(.init(nil, .failBefore(StoreError(.unavailable, "the cable is out"))))
        try await world.attach()
        #expect(try await same(world.read(0, 65536), fill(100)))
        #expect(try await same(world.read(5 << 16, 65536), fill(6)))
        try await world.write(1 << 16, fill(101))
        try await world.flush()
        try await eventually { await world.disk.status().lastError?.contains("cable") == true }
        #expect(await world.disk.status().state == .attached)
        store.clear()
        try await eventually { (try? await world.disk.sync()) != nil }
        #expect(await world.disk.status().term == Term(2))
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        #expect(try await same(world.read(0, 65536), fill(100)))
        #expect(try await same(world.read(1 << 16, 65536), fill(101)))
        try await world.detach()
    }

    @Test("with the remote away a disk that was given back is not served: another machine may have written")
    func offlineReleased() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(1))
        try await world.detach()
        store.add(.init(nil, .failBefore(StoreError(.unavailable, "the cable is out"))))
        await #expect(throws: DiskError.self) { try await world.attach() }
        store.clear()
        try await world.attach()
        try await world.detach()
    }

    @Test("who was served from here while another machine took over and wrote is told, and stopped")
    func offlineDivergence() async throws {
        let inner = MemoryStore()
        let store = FaultyStore(inner)
        let one = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: inner, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.disk.sync()
        try await one.crash()
        store.add(.init(nil, .failBefore(StoreError(.unavailable, "the cable is out"))))
        try await one.attach()
        try await one.write(0, fill(2))
        try await one.flush()
        try await two.attach(AttachIntent(takesOver: true))
        try await two.write(0, fill(3))
        try await two.disk.sync()
        store.clear()
        try await eventually { await one.disk.status().state == .diverged }
        await #expect(throws: Errno(rawValue: EROFS)) { try await one.write(0, fill(4)) }
        #expect(try await same(one.read(0, 65536), fill(2)))
        try await one.detach()
        try await two.write(65536, fill(5))
        try await two.disk.sync()
        try await two.detach()
    }
}
