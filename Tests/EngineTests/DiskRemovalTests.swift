import Foundation
import Linux
import Synchronization
import Testing
import VDriveEngine
import VDriveFormat
import VDriveModel
import VDriveStore
import VDriveTestKit

/// Deleting a disk on its remote: whole, in every order of accidents, and nothing else.
@Suite struct DiskRemovalTests {
    private func fill(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 65536) }

    /// A detached disk with some chunks, map nodes and several terms.
    private func disk(on store: any ObjectStore) async throws -> EngineWorld {
        let world = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        for epoch in 0..<66 {
            try await world.write(UInt64(epoch % 12) << 16, fill(UInt8(epoch + 1)))
            try await world.disk.sync()
        }
        try await world.detach()
        try await world.attach()
        try await world.write(0, fill(200))
        try await world.detach()
        return world
    }

    /// - Parameter id: of the disk that is meant; the one at the world's remote when left out.
    private func removal(
        _ world: EngineWorld,
        store: (any ObjectStore)? = nil,
        holder: String? = nil,
        takesOver: Bool = false,
        id: DiskID? = nil,
        isStopping: @escaping @Sendable () async -> Bool = { false }
    ) async throws -> DiskRemoval {
        let store = store ?? world.store
        let theirs = id == nil ? try await DiskFormatter.open(store: world.remote).disk : nil
        return DiskRemoval(
            store: RemoteStore(reads: store, writes: store, brief: store, meter: StoreMeter()),
            id: try #require(id ?? theirs),
            stateDirectory: holder ?? world.folder + "/state",
            takesOver: takesOver,
            softwareVersion: "test",
            isStopping: isStopping,
            progress: { _ in }
        )
    }

    @Test("all objects go, and what others put there stays")
    func removes() async throws {
        let store = MemoryStore()
        let world = try await disk(on: store)
        #expect(store.names.contains { $0.hasPrefix("map/") } && store.names.contains { $0.hasPrefix("blocks/") })
        let foreign = ["notes.txt", "blocks/mine/a", "blocks/0000000/readme", "terms/00000001/x", "photos/1.jpg"]
        for name in foreign { try await store.put(ObjectName(name), [1]) }
        let others = 3  // the descriptor, the hint and a claim's note
        let before = store.names.count - foreign.count
        let deleted = try await removal(world).run()
        #expect(store.names == foreign.sorted())
        #expect(Int(deleted) > before - others && Int(deleted) < before + others, "\(deleted) of \(before)")
    }

    /// Fails the nth of those calls that change something, and all after it.
    private final class CutStore: ObjectStore {
        let inner: MemoryStore
        private let left: Mutex<Int>

        init(_ inner: MemoryStore, after calls: Int) {
            self.inner = inner
            left = Mutex(calls)
        }

        private func spend() throws(StoreError) {
            let isAlive = left.withLock { left in
                left -= 1
                return left >= 0
            }
            if !isAlive { throw StoreError(.unavailable, "The line is cut.") }
        }

        var location: String { inner.location }
        var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }
        func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
            try await inner.get(name, range: range)
        }
        func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
        func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
        func quota() async throws(StoreError) -> StoreQuota? { nil }
        func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
            try spend()
            try await inner.put(name, body)
        }
        func delete(_ name: ObjectName) async throws(StoreError) {
            try spend()
            try await inner.delete(name)
        }
        func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
            try spend()
            return try await inner.claim(name, with: primitive)
        }
    }

    @Test("cut off after each of its steps it leaves the whole disk or none, and goes on")
    func everyCut() async throws {
        let world = try await disk(on: MemoryStore())
        let original = try #require(world.store as? MemoryStore)
        let id = try await DiskFormatter.open(store: world.remote).disk
        var wholes = 0
        var nones = 0
        for step in 0..<500 {
            let store = try await copy(of: original)
            let holder = world.folder + "/holder-\(step)"
            var isCut = false
            do {
                _ = try await removal(world, store: CutStore(store, after: step), holder: holder).run()
            } catch {
                isCut = true
            }
            let geometry = try DiskGeometry(diskBytes: 64 << 20, chunkBytes: 64 << 10)
            let remote = RemoteStore(reads: store, writes: store, brief: store, meter: StoreMeter())
            if try await store.length(of: .descriptor) != nil {
                wholes += 1
                #expect(isCut)
                let other = try await EngineWorld(store: store, chunkBytes: 64 << 10)
                try await other.attach(AttachIntent(takesOver: true))
                #expect(try await same(other.read(0, 65536), fill(200)))
                for chunk in 1..<12 {
                    let last = (0..<66).last { $0 % 12 == chunk } ?? 0
                    #expect(try await same(other.read(UInt64(chunk) << 16, 65536), fill(UInt8(last + 1))))
                }
                try await other.detach()
            } else if isCut {
                nones += 1
                await #expect(throws: DiskError.self) { _ = try await DiskFormatter.open(store: remote) }
                // Nobody makes a disk among what is left.
                let error = await #expect(throws: DiskError.self) {
                    _ = try await DiskFormatter.create(store: remote, geometry: geometry)
                }
                #expect(error?.kind == .refused && error?.message.contains("destroy") == true)
                await #expect(throws: DiskError.self) {
                    // Another disk's removal does not take this one for its own.
                    _ = try await removal(world, store: store, id: DiskID("00112233-4455-4677-8899-aabbccddeeff")).run()
                }
            }
            if isCut { _ = try await removal(world, store: store, holder: holder, takesOver: true, id: id).run() }
            #expect(store.names == [], "after step \(step)")
            _ = try await DiskFormatter.create(store: remote, geometry: geometry)
            if !isCut { break }
        }
        #expect(wholes >= 4 && nones > 20, "\(wholes) and \(nones)")
    }

    @Test("a disk that another machine has attached is refused, and taken over when told to")
    func attachedElsewhere() async throws {
        let store = MemoryStore()
        let world = try await disk(on: store)
        let other = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await other.attach()
        let names = store.names
        let error = await #expect(throws: DiskError.self) { _ = try await removal(world).run() }
        #expect(error?.kind == .refused && error?.message.contains("is attached on") == true)
        #expect(store.names == names, "nothing was changed")
        _ = try await removal(world, takesOver: true).run()
        #expect(store.names == [])
        try? await other.detach()
    }

    @Test("another disk, none, a server that cannot list, a daemon that stops: nothing is lost")
    func refuses() async throws {
        let store = MemoryStore()
        let world = try await disk(on: store)
        let names = store.names
        let id = try await DiskFormatter.open(store: world.remote).disk
        let strange = DiskID("00112233-4455-4677-8899-aabbccddeeff")
        let another = await #expect(throws: DiskError.self) { _ = try await removal(world, id: strange).run() }
        #expect(another?.kind == .refused && store.names == names)
        let deaf = FaultyStore(store, rules: [.init(.list, .failBefore(StoreError(.unsupported, "No listing.")))])
        let unlisted = await #expect(throws: DiskError.self) { _ = try await removal(world, store: deaf).run() }
        #expect(unlisted?.kind == .configuration && store.names == names)
        let stopped = await #expect(throws: DiskError.self) {
            _ = try await removal(world, isStopping: { true }).run()
        }
        #expect(stopped?.kind == .busy)
        #expect(store.names.contains("destroyed") && !store.names.contains("vdrive.json"))
        _ = try await removal(world, id: id).run()
        #expect(store.names == [])
        let gone = await #expect(throws: DiskError.self) { _ = try await removal(world, id: id).run() }
        #expect(gone?.kind == .notFound)
    }

    // MARK: What is here

    @Test("changes that are not on the remote are told, and what cannot be told too")
    func localChanges() async throws {
        let world = try await disk(on: MemoryStore())
        let local = LocalDisk(cacheDirectory: world.folder + "/cache", stateDirectory: world.folder + "/state")
        #expect(local.changes() == nil)
        try await world.attach()
        try await world.write(0, fill(1))
        try await world.detach(commit: false)
        #expect(local.changes() == "65536 bytes in 1 chunks are not on the remote yet.")
        try Directory.rename(world.folder + "/state", to: world.folder + "/lost")
        #expect(local.changes()?.contains("no metadata") == true)
        try Directory.createAll(world.folder + "/state")
        try Data("no database at all, by no means".utf8).write(
            to: URL(fileURLWithPath: world.folder + "/state/data.mdb")
        )
        #expect(local.changes()?.contains("cannot be told") == true)
    }

    @Test("only the disk's own files go from its cache, and no link is followed")
    func localRemoval() async throws {
        let world = try await disk(on: MemoryStore())
        let cache = world.folder + "/cache"
        let outside = world.folder + "/outside"
        try Directory.createAll(outside)
        try Directory.createAll(cache + "/undescribed-0123456789abcdef")
        try Directory.createAll(cache + "/undescribed-of-mine")
        let own = [
            "/outbox/000000001", "/undescribed-0123456789abcdef/cache.0000", "/.identity.abc.tmp", "/cache.0001",
        ]
        let foreign = ["/notes.txt", "/cache.txt", "/cache.00", "/undescribed-of-mine/cache.0000", "/outbox/notes"]
        for path in own + foreign { try Data("x".utf8).write(to: URL(fileURLWithPath: cache + path)) }
        for name in ["cache.0000", "precious"] {
            try Data("x".utf8).write(to: URL(fileURLWithPath: "\(outside)/\(name)"))
        }
        for (link, target) in [("cache.0002", "/precious"), ("undescribed-unknown", "")] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(cache)/\(link)",
                withDestinationPath: outside + target
            )
        }
        let local = LocalDisk(cacheDirectory: cache, stateDirectory: world.folder + "/state")
        let kept = try local.remove(ownsCacheDirectory: true)
        #expect(
            kept == [
                "cache.00", "cache.0002", "cache.txt", "notes.txt", "outbox", "undescribed-of-mine",
                "undescribed-unknown",
            ]
        )
        for path in own { #expect(!Directory.exists(cache + path)) }
        for path in foreign { #expect(Directory.exists(cache + path)) }
        #expect(try Directory.list(outside) == ["cache.0000", "precious"])
        #expect(!Directory.exists(world.folder + "/state") && !Directory.exists(cache + "/identity"))
        for name in kept { try Directory.removeTree("\(cache)/\(name)") }
        #expect(try local.remove(ownsCacheDirectory: true) == [])
        #expect(!Directory.exists(cache))
    }
}
