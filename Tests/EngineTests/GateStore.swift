import Synchronization
import VDriveModel
import VDriveStore

/// A store that holds the puts of some objects back until its gate is opened.
final class GateStore: ObjectStore {
    let inner = MemoryStore()
    private let held: String
    private let state: Mutex<(isOpen: Bool, refuses: Bool, waiting: Int, puts: Int)>

    /// - Parameters:
    ///   - held: part of the names that are held back while the gate is closed.
    ///   - refuses: whether puts of them are refused until `stopRefusing`.
    init(holding held: String, refuses: Bool = false) {
        self.held = held
        state = Mutex((isOpen: true, refuses: refuses, waiting: 0, puts: 0))
    }

    func stopRefusing() { state.withLock { $0.refuses = false } }

    func close() { state.withLock { $0.isOpen = false } }
    func open() { state.withLock { $0.isOpen = true } }
    /// Puts that stand before the gate.
    var waiting: Int { state.withLock { $0.waiting } }
    /// Puts of held objects that came through, ever.
    var puts: Int { state.withLock { $0.puts } }

    func untilWaiting() async throws {
        while waiting == 0 { try await Task.sleep(for: .milliseconds(2)) }
    }

    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        if name.path.contains(held) {
            state.withLock { $0.waiting += 1 }
            defer { state.withLock { $0.waiting -= 1 } }
            while !state.withLock({ $0.isOpen }) {
                do { try await Task.sleep(for: .milliseconds(2)) } catch {
                    throw StoreError(.unavailable, "The request was cancelled.")
                }
            }
            if state.withLock({ $0.refuses }) { throw StoreError(.forbidden, "The gate-keeper does not like it.") }
            state.withLock { $0.puts += 1 }
        }
        try await inner.put(name, body)
    }

    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await inner.get(name, range: range)
    }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await inner.claim(name, with: primitive)
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
