internal import Synchronization

/// What went over the line to one remote, and whether it answers. Read and written from any thread.
package final class StoreMeter: Sendable {
    /// Whether the remote answers: `remote.state`.
    package enum State: String, Sendable {
        /// The last answers were good.
        case online
        /// Answers come, but some attempts of the last 30 seconds failed.
        case degraded
        /// The last attempts, three or more, found no server, or one that lets nobody in.
        case offline
    }

    /// The counters at one moment; each is exact, together they are not one cut.
    package struct Snapshot: Sendable, Hashable {
        /// Attempts that ended, retries included.
        package var requests: UInt64
        /// Bytes of objects received and sent, without headers.
        package var bytesIn: UInt64
        package var bytesOut: UInt64
        /// Attempts that failed; a missing object is an answer.
        package var errors: UInt64
        /// The sentence of the last failure, or nil when there was none.
        package var lastError: String?
        package var state: State
    }

    private static let offlineAfterFailures = 3
    private static let degradedFor: Duration = .seconds(30)

    private struct Failure {
        var message: String
        var instant: ContinuousClock.Instant
    }

    private let requests = Atomic<UInt64>(0)
    private let bytesIn = Atomic<UInt64>(0)
    private let bytesOut = Atomic<UInt64>(0)
    private let errors = Atomic<UInt64>(0)
    private let deafAttempts = Atomic<Int>(0)
    private let lastFailure = Mutex<Failure?>(nil)

    package init() {}

    package func snapshot() -> Snapshot {
        let failure = lastFailure.withLock { $0 }
        let state: State
        if deafAttempts.load(ordering: .relaxed) >= Self.offlineAfterFailures {
            state = .offline
        } else if let failure, failure.instant.duration(to: .now) < Self.degradedFor {
            state = .degraded
        } else {
            state = .online
        }
        return Snapshot(
            requests: requests.load(ordering: .relaxed),
            bytesIn: bytesIn.load(ordering: .relaxed),
            bytesOut: bytesOut.load(ordering: .relaxed),
            errors: errors.load(ordering: .relaxed),
            lastError: failure?.message,
            state: state
        )
    }

    func received(bytes: Int) { bytesIn.add(UInt64(bytes), ordering: .relaxed) }
    func sent(bytes: Int) { bytesOut.add(UInt64(bytes), ordering: .relaxed) }

    func answered() {
        requests.add(1, ordering: .relaxed)
        deafAttempts.store(0, ordering: .relaxed)
    }

    func failed(_ error: StoreError) {
        requests.add(1, ordering: .relaxed)
        switch error.kind {
        case .notFound, .unsupported:
            deafAttempts.store(0, ordering: .relaxed)
            return
        case .unavailable, .uncertain, .unauthorized: deafAttempts.add(1, ordering: .relaxed)
        case .forbidden, .full, .corrupt, .invalid: deafAttempts.store(0, ordering: .relaxed)
        }
        errors.add(1, ordering: .relaxed)
        lastFailure.withLock { $0 = Failure(message: error.message, instant: .now) }
    }
}
