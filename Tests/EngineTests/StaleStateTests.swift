import Linux
import Synchronization
import Testing
import VDriveFormat
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

    /// A commit landed, and the power went before LMDB, or any flush, knew of what is in it. The disk is then served as
    /// this machine knows it; it must not become another one under a mounted filesystem when the remote is back.
    @Test(
        "a disk that was served without its remote stays what it was, whatever commit of its own had landed",
        arguments: [false, true]
    )
    func landedUnseen(restarts: Bool) async throws {
        let store = FaultyStore(MemoryStore())
        let one = try await world(store)
        try await one.attach()
        try await one.write(1 << 16, fill(1))
        try await one.write(2 << 16, fill(2))
        try await one.disk.sync()
        try await one.flush()
        let before = try one.copyState()
        try await one.write(2 << 16, fill(22))
        try await one.write(5 << 16, fill(55))
        try await one.disk.sync()
        try await one.crash()
        try one.putBackState(before)

        store.add(.init(nil, .failBefore(StoreError(.unavailable, "The cable is out."))))
        try await one.attach()
        #expect(try await same(one.read(5 << 16, 65536), fill(0)))
        try await one.write(6 << 16, fill(6))
        try await one.flush()
        if restarts {
            try await one.crash()
            store.clear()
            // Its first commit does not come to be; the next attach is to know all the same.
            store.add(.init(.put, nameContains: "commits/", .failBefore(StoreError(.forbidden, "Not today."))))
            #expect(await attachError(one)?.kind != .diverged)
            store.clear()
            try await one.attach()
        }
        store.clear()
        try await eventually { (try? await one.disk.sync()) != nil }
        _ = try await one.disk.evict(wait: true)
        #expect(try await same(one.read(1 << 16, 65536), fill(1)))
        #expect(try await same(one.read(2 << 16, 65536), fill(2)))
        #expect(try await same(one.read(5 << 16, 65536), fill(0)))
        #expect(try await same(one.read(6 << 16, 65536), fill(6)))
        try await one.detach()
        try one.loseMachine()
        try await one.attach()
        #expect(try await same(one.read(2 << 16, 65536), fill(2)))
        #expect(try await same(one.read(5 << 16, 65536), fill(0)))
        #expect(await one.disk.status().allocatedBytes == 3 << 16)
        try await one.detach()
    }

    @Test("a torn hint on a server without a listing does not make a disk look new")
    func tornHint() async throws {
        let memory = MemoryStore()
        let store = FaultyStore(memory, rules: [.init(.list, .failBefore(StoreError(.unsupported, "No listing.")))])
        let one = try await world(store)
        try await one.attach()
        try await one.write(3 << 16, fill(3))
        for round in 0..<70 {
            try await one.write(0, fill(UInt8(round)))
            try await one.disk.sync()
        }
        try await one.detach()
        try one.loseMachine()
        let hint = try await memory.get(.latest, range: nil)
        try await memory.put(.latest, Array(hint.prefix(hint.count / 2)))
        #expect(await attachError(one)?.kind == .corrupt)
        try await memory.put(.latest, hint)
        #expect(await attachError(one) == nil)
        #expect(try await same(one.read(3 << 16, 65536), fill(3)))
        try await one.detach()
    }

    /// Some servers answer from a cache, or cut a long list off, or find nothing for a moment.
    @Test("a listing that is not whole does not bring an old state back", arguments: [0, 1, 3])
    func shortListing(listed: Int) async throws {
        let store = ShortListStore(of: "commits")
        let one = try await world(store)
        try await one.attach()
        for round in 1...5 {
            try await one.write(UInt64(round) << 16, fill(UInt8(round)))
            try await one.disk.sync()
        }
        try await one.detach()
        try one.loseMachine()
        store.limit.withLock { $0 = listed }
        try await one.attach()
        for round in 1...5 {
            #expect(try await same(one.read(UInt64(round) << 16, 65536), fill(UInt8(round))), "\(round)")
        }
        try await one.detach()
    }

    @Test("a disk whose commits are gone is not taken for a new one")
    func lostCommits() async throws {
        let store = MemoryStore()
        let one = try await world(store)
        try await one.attach()
        try await one.write(0, fill(1))
        try await one.detach()
        try one.loseMachine()
        for name in store.names where name.hasPrefix("commits/") { try await store.delete(ObjectName(name)) }
        #expect(await attachError(one)?.kind == .notFound)
    }

    @Test("a listing without this machine's own term does not say that nobody has taken over")
    func shortListOfTerms() async throws {
        let memory = MemoryStore()
        let store = ShortListStore(of: "terms", memory)
        let one = try await world(store)
        let two = try await world(memory)
        try await one.attach()
        try await two.attach(AttachIntent(takesOver: true))
        try await one.write(0, fill(1))
        store.limit.withLock { $0 = 0 }
        await #expect(throws: DiskError.self) { try await one.disk.sync() }
        #expect(await one.disk.status().dirtyBytes == 65536)
        store.limit.withLock { $0 = .max }
        try await eventually { await one.disk.status().state == .fenced }
        try await one.detach()
        try await two.detach()
    }
}

/// A store that lists only the first objects of a folder.
private final class ShortListStore: ObjectStore {
    let limit = Mutex(Int.max)
    private let inner: MemoryStore
    private let folder: String

    init(of folder: String, _ inner: MemoryStore = MemoryStore()) {
        self.folder = folder
        self.inner = inner
    }

    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }
    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await inner.get(name, range: range)
    }
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) { try await inner.put(name, body) }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        let all = try await inner.list(folder).sorted { $0.name < $1.name }
        return folder == self.folder ? Array(all.prefix(limit.withLock { $0 })) : all
    }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await inner.claim(name, with: primitive)
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
