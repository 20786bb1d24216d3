import Synchronization
import Testing
import VDriveDataPlane
import VDriveEngine
import VDriveFormat
import VDriveModel
import VDriveStore

/// Writes that race with the upload of the epoch before them: the remote must hold the state of the seal, byte for
/// byte.
@Suite struct SealedWriteTests {
    @Test("what is committed is the disk of the seal, whatever is written meanwhile", arguments: [UInt64(1), 2, 3, 4])
    func stateOfTheSeal(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let diskBytes = 8 << 20
        let store = SlowStore()
        let world = try await EngineWorld(store: store, diskBytes: UInt64(diskBytes), chunkBytes: 256 << 10)
        try await world.attach(AttachIntent(takesOver: true))
        var shadow = [UInt8](repeating: 0, count: diskBytes)
        for round in 0..<6 {
            for _ in 0..<40 { try await change(world, &shadow, round, &random, sizeMax: 60_000) }
            let sealed = shadow
            let before = world.plane.epoch.load(ordering: .sequentiallyConsistent)
            // Copied at once: a few epochs later the garbage of this one is gone.
            let sync = Task { [disk = world.disk] in
                try await disk.sync()
                return try await copy(of: store, upTo: before)
            }
            while world.plane.epoch.load(ordering: .sequentiallyConsistent) == before {
                try await Task.sleep(for: .milliseconds(1))
            }
            // Small writes mostly, which keep pages; now and then a large one or a punch, which copies the chunk aside.
            for _ in 0..<120 {
                let isLarge = Int.random(in: 0..<8, using: &random) == 0
                try await change(world, &shadow, round + 100, &random, sizeMax: isLarge ? 400_000 : 9_000)
                if Bool.random(using: &random) { try await world.flush() }
            }
            try await check(try await sync.value, holds: sealed, "seed \(seed) round \(round)")
        }
        try await world.disk.sync()
        try await world.detach()
        try await check(try await copy(of: store, upTo: .max), holds: shadow, "seed \(seed) at the end")
    }

    private func change(
        _ world: EngineWorld,
        _ shadow: inout [UInt8],
        _ mark: Int,
        _ random: inout SeededGenerator,
        sizeMax: Int
    ) async throws {
        let count = min(Int.random(in: 1...sizeMax, using: &random), shadow.count)
        let offset = Int.random(in: 0...shadow.count - count, using: &random)
        if Int.random(in: 0..<10, using: &random) == 0 {
            try await world.deallocate(UInt64(offset), UInt64(count))
            shadow.replaceSubrange(offset..<offset + count, with: repeatElement(0, count: count))
        } else {
            let bytes = [UInt8](repeating: UInt8.random(in: 1...255, using: &random) ^ UInt8(mark), count: count)
            try await world.write(UInt64(offset), bytes)
            shadow.replaceSubrange(offset..<offset + count, with: bytes)
        }
    }

    /// The remote without commits after an epoch.
    private func copy(of store: SlowStore, upTo epoch: UInt64) async throws -> MemoryStore {
        let copy = MemoryStore()
        for name in store.inner.names.map({ ObjectName($0) }) {
            if case .commit(let version)? = name.role, version.epoch.rawValue > epoch { continue }
            guard let bytes = try? await store.inner.get(name, range: nil) else { continue }
            try await copy.put(name, bytes)
        }
        return copy
    }

    /// Attaches a copy of the remote on a machine that knows nothing.
    private func check(_ copy: MemoryStore, holds expected: [UInt8], _ when: String) async throws {
        let other = try await EngineWorld(
            store: copy,
            diskBytes: UInt64(expected.count),
            chunkBytes: 256 << 10
        )
        try await other.attach(AttachIntent(takesOver: true))
        for start in stride(from: 0, to: expected.count, by: 1 << 20) {
            let found = try await other.read(UInt64(start), 1 << 20)
            try #require(same(found, Array(expected[start..<start + (1 << 20)])), "\(when), at \(start)")
        }
        try await other.detach()
    }
}

/// A store that takes its time for every object, so that sealed chunks wait.
private struct SlowStore: ObjectStore {
    let inner = MemoryStore()
    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await inner.get(name, range: range)
    }
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        try? await Task.sleep(for: .milliseconds(15))
        try await inner.put(name, body)
    }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await inner.claim(name, with: primitive)
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
