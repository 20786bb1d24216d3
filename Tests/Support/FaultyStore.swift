internal import Synchronization
package import VDriveModel
package import VDriveStore

/// Passes calls on to another store, and makes some of them go wrong, by rule.
package final class FaultyStore: ObjectStore {
    package enum Operation: String, Sendable, CaseIterable {
        case get, put, length, delete, list, claim, quota
    }

    package enum Fault: Sendable {
        /// The call does nothing and throws.
        case failBefore(StoreError)
        /// The call is carried out, and throws all the same: the answer was lost.
        case appliedThenError(StoreError)
        /// A get loses its last bytes; a put stores only the first `bytes` and throws, like a torn upload.
        case shortBody(bytes: Int)
        /// A get returns one byte flipped, counted from the start.
        case flippedByte(at: Int)
        /// The call never ends by itself, only by being cancelled.
        case hang
        /// The call is carried out after a while.
        case delay(Duration)
    }

    package struct Rule: Sendable {
        /// nil for all.
        package var operation: Operation?
        /// Part of the object's name; "" for all.
        package var nameContains: String
        /// How many fitting calls go through first.
        package var after: Int
        /// How many calls it hits; nil for all that follow.
        package var times: Int?
        package var fault: Fault

        package init(
            _ operation: Operation?,
            nameContains: String = "",
            after: Int = 0,
            times: Int? = nil,
            _ fault: Fault
        ) {
            self.operation = operation
            self.nameContains = nameContains
            self.after = after
            self.times = times
            self.fault = fault
        }
    }

    private struct State {
        var rules: [Rule] = []
        var calls: [Operation: Int] = [:]
    }

    private let inner: any ObjectStore
    private let state = Mutex(State())

    package init(_ inner: any ObjectStore, rules: [Rule] = []) {
        self.inner = inner
        state.withLock { $0.rules = rules }
    }

    /// Adds a rule behind those that there are; the first that fits a call counts.
    package func add(_ rule: Rule) { state.withLock { $0.rules.append(rule) } }
    package func clear() { state.withLock { $0.rules.removeAll() } }
    /// How many calls have come in.
    package func calls(of operation: Operation) -> Int { state.withLock { $0.calls[operation, default: 0] } }

    package var location: String { inner.location }
    package var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        let fault = fault(of: .get, name.path)
        var body = try await run(fault) { () async throws(StoreError) in try await inner.get(name, range: range) }
        switch fault {
        case .shortBody(let bytes): body.removeLast(min(body.count, bytes))
        case .flippedByte(let position) where !body.isEmpty: body[position % body.count] ^= 0x10
        default: break
        }
        return body
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        let fault = fault(of: .put, name.path)
        if case .shortBody(let bytes) = fault {
            try await inner.put(name, Array(body.prefix(bytes)))
            throw StoreError(.unavailable, "The connection ended in the middle of \(name).")
        }
        try await run(fault) { () async throws(StoreError) in try await inner.put(name, body) }
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        try await run(fault(of: .length, name.path)) { () async throws(StoreError) in
            try await inner.length(of: name)
        }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        try await run(fault(of: .delete, name.path)) { () async throws(StoreError) in try await inner.delete(name) }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        try await run(fault(of: .list, folder)) { () async throws(StoreError) in try await inner.list(folder) }
    }

    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await run(fault(of: .claim, name.path)) { () async throws(StoreError) in
            try await inner.claim(name, with: primitive)
        }
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        try await run(fault(of: .quota, "")) { () async throws(StoreError) in try await inner.quota() }
    }

    private func fault(of operation: Operation, _ path: String) -> Fault? {
        state.withLock { state in
            state.calls[operation, default: 0] += 1
            for position in state.rules.indices {
                let rule = state.rules[position]
                guard rule.operation == nil || rule.operation == operation,
                    rule.nameContains.isEmpty || path.contains(rule.nameContains), rule.times != 0
                else { continue }
                if rule.after > 0 {
                    state.rules[position].after -= 1
                    continue
                }
                if let times = rule.times { state.rules[position].times = times - 1 }
                return rule.fault
            }
            return nil
        }
    }

    private func run<Value: Sendable>(
        _ fault: Fault?,
        _ call: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        switch fault {
        case .failBefore(let error): throw error
        case .appliedThenError(let error):
            _ = try await call()
            throw error
        case .hang:
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
            throw StoreError(.unavailable, "The request was cancelled.")
        case .delay(let duration):
            try? await Task.sleep(for: duration)
            return try await call()
        case .shortBody, .flippedByte, nil: return try await call()
        }
    }
}
