import Synchronization
import VDriveFormat
import VDriveModel
import VDriveStore

/// A store in memory that counts how often each chunk's object was asked for.
final class FetchCounter: ObjectStore {
    private let inner = MemoryStore()
    private let fetches = Mutex<[ChunkIndex: Int]>([:])

    /// Requests for an object of the chunk, ever.
    func count(of chunk: Int) -> Int { fetches.withLock { $0[ChunkIndex(UInt64(chunk)), default: 0] } }

    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        if case .chunk(let chunk, _)? = ObjectRole(path: name.path) { fetches.withLock { $0[chunk, default: 0] += 1 } }
        return try await inner.get(name, range: range)
    }
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) { try await inner.put(name, body) }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await inner.claim(name, with: primitive)
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
