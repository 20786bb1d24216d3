internal import VDriveMeasure
package import VDriveModel

/// Counts what passes and remembers how it went. It lies below the retries, so that it sees every attempt.
package struct MeteredStore: ObjectStore {
    private let inner: any ObjectStore
    private let meter: StoreMeter

    package init(_ inner: any ObjectStore, meter: StoreMeter) {
        self.inner = inner
        self.meter = meter
    }

    package var location: String { inner.location }
    package var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        let body = try await metered(.get) { () async throws(StoreError) in try await inner.get(name, range: range) }
        meter.received(bytes: body.count)
        return body
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        try await metered(.put) { () async throws(StoreError) in try await inner.put(name, body) }
        meter.sent(bytes: body.count)
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        try await metered(.length) { () async throws(StoreError) in try await inner.length(of: name) }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        try await metered(.delete) { () async throws(StoreError) in try await inner.delete(name) }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        try await metered(.list) { () async throws(StoreError) in try await inner.list(folder) }
    }

    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        try await metered(.claim) { () async throws(StoreError) in try await inner.claim(name, with: primitive) }
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        try await metered(.quota) { () async throws(StoreError) in try await inner.quota() }
    }

    private func metered<Value: Sendable>(
        _ operation: StoreOperation,
        _ attempt: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let start = MonotonicTime.nanoseconds
        do throws(StoreError) {
            let value = try await attempt()
            meter.answered(operation, since: start)
            return value
        } catch {
            // A request that its own caller gave up says nothing about the remote.
            if !Task.isCancelled { meter.failed(operation, error, since: start) }
            throw error
        }
    }
}
