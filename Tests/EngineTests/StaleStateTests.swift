import Linux
import Testing
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// What a machine knew of a disk is less than the disk is: another machine went on, or an attach of its own ended
/// half-way.
@Suite struct StaleStateTests {
    private func fill(_ value: UInt8, _ count: Int = 65536) -> [UInt8] { [UInt8](repeating: value, count: count) }

    private func world(_ store: any ObjectStore) async throws -> EngineWorld {
        try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
    }

    private func attachError(_ world: EngineWorld) async -> DiskError? {
        do {
            try await world.attach()
            return nil
        } catch {
            return error as? DiskError
        }
    }

    /// This machine made the disk, and so knew of every chunk whether it is allocated. Of what came since it knows
    /// nothing, but for the commits after the other's checkpoint.
    @Test(
        "who comes back after another machine's checkpoint reads what was written before it",
        arguments: [false, true]
    )
    func comesBack(isReadOnly: Bool) async throws {
        let store = MemoryStore()
        let one = try await world(store)
        let two = try await world(store)
        try await one.attach()
        try await one.write(3 << 16, fill(3))
        try await one.detach()
        try await two.attach()
        try await two.write(4 << 16, fill(4))
        for round in 0..<70 {
            try await two.write(0, fill(UInt8(round)))
            try await two.disk.sync()
        }
        try await two.detach()
        try await one.attach(isReadOnly: isReadOnly)
        #expect(try await same(one.read(0, 65536), fill(69)))
        #expect(try await same(one.read(3 << 16, 65536), fill(3)))
        #expect(try await same(one.read(4 << 16, 65536), fill(4)))
        try await one.detach()
    }

    @Test("an attach that fails does not give away a disk whose changes wait here")
    func failedAttachKeepsTheDisk() async throws {
        let memory = MemoryStore()
        let store = FaultyStore(memory)
        let one = try await world(store)
        let two = try await world(memory)
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.flush()
        try await one.crash()
        let trouble = FaultyStore.Fault.failBefore(StoreError(.forbidden, "Not today."))
        store.add(.init(.put, nameContains: "commits/", trouble))
        #expect(await attachError(one) != nil)
        #expect(await attachError(two)?.kind == .refused)
        store.clear()
        #expect(await attachError(one) == nil)
        #expect(try await same(one.read(0, 65536), fill(1)))
        try await one.detach()
        #expect(await attachError(two) == nil)
        try await two.detach()
    }

    /// What it releases it does not hold: without its remote another machine may be writing.
    @Test("a disk that a failed attach has given back is not served without its remote")
    func failedAttachReleases() async throws {
        let memory = MemoryStore()
        let store = FaultyStore(memory)
        let one = try await world(store)
        let two = try await world(memory)
        try await one.attach()
        try await one.detach()
        let trouble = FaultyStore.Fault.failBefore(StoreError(.forbidden, "Not today."))
        store.add(.init(.put, nameContains: "commits/", trouble))
        #expect(await attachError(one) != nil)
        #expect(await attachError(two) == nil)
        try await two.write(0, fill(2))
        try await two.disk.sync()
        store.clear()
        store.add(.init(nil, .failBefore(StoreError(.unavailable, "The cable is out."))))
        #expect(await attachError(one)?.kind == .retry)
        store.clear()
        try await two.detach()
    }
}
