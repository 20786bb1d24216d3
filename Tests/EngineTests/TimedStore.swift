import Synchronization
import VDriveModel
import VDriveStore

/// A store whose gets take their time, or stand before a gate, and are all written down.
final class TimedStore: ObjectStore {
    struct Get: Hashable, Sendable {
        var object: String
        var bytes: Range<Int>
    }

    private struct State {
        var isOpen = true
        var gets: [Get] = []
        var underWay = 0
        var bytesUnderWay = 0
        var bytesUnderWayMax = 0
    }

    let inner = MemoryStore()
    private let delay: Duration
    private let state = Mutex(State())

    init(delay: Duration = .zero) { self.delay = delay }

    func close() { state.withLock { $0.isOpen = false } }
    func open() { state.withLock { $0.isOpen = true } }
    /// Gets of chunks, in the order in which they came, whether they were answered or not.
    var gets: [Get] { state.withLock { $0.gets } }
    var underWay: Int { state.withLock { $0.underWay } }
    /// The most bytes of chunks that were asked for at the same time.
    var bytesUnderWayMax: Int { state.withLock { $0.bytesUnderWayMax } }
    func forget() { state.withLock { $0.gets = [] } }

    /// Bytes of chunks that were asked for more than once.
    var bytesTwice: Int {
        Dictionary(grouping: gets, by: \.object).values.reduce(0) { sum, gets in
            var end = 0
            return sum
                + gets.map(\.bytes).sorted { $0.lowerBound < $1.lowerBound }.reduce(0) { twice, bytes in
                    defer { end = max(end, bytes.upperBound) }
                    return twice + max(0, min(end, bytes.upperBound) - bytes.lowerBound)
                }
        }
    }

    /// Waits until nothing was asked for during some time.
    func untilNoMoreCome() async throws {
        var seen = -1
        while gets.count != seen {
            seen = gets.count
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    /// Waits until nothing is under way, and nothing was asked for during some time.
    func untilQuiet() async throws {
        repeat { try await untilNoMoreCome() } while underWay > 0
    }

    func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        guard let range, name.path.hasPrefix("blocks/") else { return try await inner.get(name, range: range) }
        state.withLock { state in
            state.gets.append(Get(object: name.path, bytes: range))
            state.underWay += 1
            state.bytesUnderWay += range.count
            state.bytesUnderWayMax = max(state.bytesUnderWayMax, state.bytesUnderWay)
        }
        defer {
            state.withLock { state in
                state.underWay -= 1
                state.bytesUnderWay -= range.count
            }
        }
        do {
            try await Task.sleep(for: delay)
            while !state.withLock({ $0.isOpen }) { try await Task.sleep(for: .milliseconds(2)) }
        } catch {
            throw StoreError(.unavailable, "The request was cancelled.")
        }
        return try await inner.get(name, range: range)
    }

    var location: String { inner.location }
    var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }
    func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) { try await inner.put(name, body) }
    func length(of name: ObjectName) async throws(StoreError) -> Int? { try await inner.length(of: name) }
    func delete(_ name: ObjectName) async throws(StoreError) { try await inner.delete(name) }
    func list(_ folder: String) async throws(StoreError) -> [StoreListing] { try await inner.list(folder) }
    func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await inner.claim(name, with: primitive)
    }
    func quota() async throws(StoreError) -> StoreQuota? { try await inner.quota() }
}
