import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveFormat
import VDriveModel
import VDriveStore
import VDriveTestKit

/// Who may write: terms claimed, released, taken over, and what becomes of the one who lost the disk.
@Suite struct TermTests {
    private func fill(_ value: UInt8, _ count: Int = 65536) -> [UInt8] { [UInt8](repeating: value, count: count) }

    private func attachError(_ world: EngineWorld, _ intent: AttachIntent = AttachIntent()) async -> DiskError? {
        do {
            try await world.attach(intent)
            return nil
        } catch {
            return error as? DiskError
        }
    }

    @Test("a disk that was not detached elsewhere is refused, and the refusal names its owner")
    func refused() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        let error = try #require(await attachError(two))
        #expect(error.kind == .refused)
        let host = ProcessInfo.processInfo.hostName.split(separator: ".")[0]
        #expect(error.message.contains("on \(host)") && error.message.contains("since 20"), "\(error.message)")
        // The refusal has cost the owner nothing.
        try await one.write(0, fill(1))
        try await one.disk.sync()
        #expect(await one.disk.status().state == .attached)
        try await one.detach()
        #expect(await attachError(two) == nil)
        #expect(try await same(two.read(0, 65536), fill(1)))
        try await two.detach()
    }

    @Test("the same state directory goes on after a crash, without being asked")
    func sameHolder() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(3))
        try await world.flush()
        try await world.crash()
        #expect(await attachError(world) == nil)
        #expect(await world.disk.status().term == Term(2))
        #expect(try await same(world.read(0, 65536), fill(3)))
        try await world.detach()
    }

    @Test("who is taken over finds out at its next commit, keeps its data, and can neither write nor go on")
    func takeover() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.disk.sync()
        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        try await two.write(65536, fill(2))
        try await two.disk.sync()
        try await one.write(0, fill(7))
        try await one.flush()
        await #expect(throws: DiskError.self) { try await one.disk.sync() }
        try await eventually { await one.disk.status().state == .fenced }
        let status = await one.disk.status()
        #expect(status.dirtyBytes == 65536 && status.lastError?.contains("term 2") == true)
        await #expect(throws: Errno(rawValue: EROFS)) { try await one.write(0, fill(8)) }
        #expect(try await same(one.read(0, 65536), fill(7)))
        try await one.detach()
        try await two.detach()

        // The disk is free, and yet this machine may not go on: it would lose its changes, or the other's.
        #expect(await attachError(one)?.kind == .diverged)
        #expect(await attachError(two) == nil)
        #expect(try await same(two.read(0, 65536), fill(1)))
        try await two.detach()
        #expect(await attachError(one, AttachIntent(discardsLocal: true)) == nil)
        #expect(try await same(one.read(0, 65536), fill(1)))
        #expect(try await same(one.read(65536, 65536), fill(2)))
        try await one.detach()
    }

    @Test("who has nothing to commit finds out when it is asked to sync")
    func idleOwner() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.disk.sync()
        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        await #expect(throws: DiskError.self) { try await one.disk.sync() }
        try await eventually { await one.disk.status().state == .fenced }
        try await one.detach()
        try await two.detach()
    }

    @Test("discarding is for divergence alone: what only this machine has is not thrown away by it")
    func discardingNothing() async throws {
        let world = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(5))
        try await world.flush()
        try await world.detach(commit: false)
        #expect(await attachError(world, AttachIntent(discardsLocal: true)) == nil)
        #expect(try await same(world.read(0, 65536), fill(5)))
        try await world.detach()
    }

    @Test("an owner that was taken over, and nothing written, goes on with its changes")
    func nothingWritten() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.flush()
        try await one.crash()
        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        try await two.detach()
        #expect(await attachError(one) == nil)
        #expect(try await same(one.read(0, 65536), fill(1)))
        try await one.detach()
    }

    /// Without the kept state the fenced machine's half-written chunks would have lost their other halves.
    @Test("after a takeover the former owner's state is still whole, and can be copied to a new disk")
    func keptState() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        for chunk in 0..<200 { try await one.write(UInt64(chunk) << 16, fill(UInt8(chunk + 1))) }
        try await one.disk.sync()
        _ = try await one.disk.evict(wait: true)
        // Half a chunk, so that the other half is on the remote alone.
        try await one.write(10 << 16, fill(250, 32768))
        try await one.flush()
        try await one.crash()

        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        // Every chunk is replaced, and a checkpoint passes.
        for round in 0..<70 {
            for chunk in 0..<3 { try await two.write(UInt64(round * 3 + chunk) % 200 << 16, fill(0xEE)) }
            try await two.disk.sync()
        }
        try await two.detach()

        #expect(await attachError(one)?.kind == .diverged)
        try await one.openLocal()
        let target = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await target.attach()
        try await one.disk.copy(to: target.disk) { _ in }
        try await target.disk.sync()
        try await one.detach(commit: false)
        _ = try await target.disk.evict(wait: true)
        for chunk in 0..<200 where chunk != 10 {
            #expect(try await same(target.read(UInt64(chunk) << 16, 65536), fill(UInt8(chunk + 1))), "chunk \(chunk)")
        }
        #expect(try await same(target.read(10 << 16, 65536), fill(250, 32768) + fill(11, 32768)))
        try await target.detach()
        // Reading it has changed nothing.
        #expect(await attachError(one)?.kind == .diverged)
    }

    @Test("an attempt that the divergence refuses takes nothing away from the owner")
    func refusedBeforeClaim() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.flush()
        try await one.crash()
        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        try await two.write(0, fill(2))
        try await two.disk.sync()
        #expect(await attachError(one, AttachIntent(takesOver: true))?.kind == .diverged)
        try await two.write(0, fill(3))
        try await two.disk.sync()
        #expect(await two.disk.status().state == .attached)
        try await two.detach()
    }

    @Test("a server without an exclusive operation: only the same holder goes on by itself")
    func nothingExclusive() async throws {
        let plain = NothingExclusiveStore()
        let one = try await EngineWorld(store: plain, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: plain, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        try await one.detach()
        try await one.attach()
        try await one.detach()
        let error = await attachError(two)
        #expect(error?.kind == .refused && error?.message.contains("no exclusive operation") == true)
        #expect(await attachError(two, AttachIntent(takesOver: true)) == nil)
        try await two.detach()
    }
}

/// A store that honours none of the primitives.
private final class NothingExclusiveStore: ObjectStore {
    private let inner = MemoryStore()

    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { [] }
    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await inner.get(name, range: range)
    }
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) { try await inner.put(name, body) }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        throw StoreError(.unsupported, "nothing is exclusive here")
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
