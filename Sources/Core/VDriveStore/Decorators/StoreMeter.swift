internal import Synchronization
package import VDriveMeasure

/// What a store is asked for: one for each method of `ObjectStore` that goes over the line.
package enum StoreOperation: String, CaseIterable, Sendable {
    case get, put, length, delete, list, claim, quota
}

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

    /// Attempts of one operation.
    package struct Tally: Sendable, Hashable {
        /// That ended, retries included.
        package var requests: UInt64 = 0
        /// That failed; a missing object is an answer.
        package var failures: UInt64 = 0

        package init() {}
    }

    /// The counters at one moment; each is exact, together they are not one cut.
    package struct Snapshot: Sendable, Hashable {
        package var operations: [StoreOperation: Tally]
        /// Attempts that were made because an earlier one of the same call had failed.
        package var retries: UInt64
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

    private let tallies = Mutex<[StoreOperation: Tally]>([:])
    private let retries = Atomic<UInt64>(0)
    private let bytesIn = Atomic<UInt64>(0)
    private let bytesOut = Atomic<UInt64>(0)
    private let deafAttempts = Atomic<Int>(0)
    private let lastFailure = Mutex<Failure?>(nil)
    private let watch = Mutex(Watch())

    /// Who hears of changes of the state, and the last one that was told.
    private struct Watch {
        var told = State.online
        var observer: (@Sendable (_ state: State, _ previous: State) -> Void)?
    }

    /// How long attempts took, also those that failed.
    package let get = LatencyHistogram()
    package let put = LatencyHistogram()
    package let other = LatencyHistogram()

    package init() {}

    package func snapshot() -> Snapshot {
        let failure = lastFailure.withLock { $0 }
        let tallies = tallies.withLock { $0 }
        let state: State
        if deafAttempts.load(ordering: .relaxed) >= Self.offlineAfterFailures {
            state = .offline
        } else if let failure, failure.instant.duration(to: .now) < Self.degradedFor {
            state = .degraded
        } else {
            state = .online
        }
        return Snapshot(
            operations: Dictionary(uniqueKeysWithValues: StoreOperation.allCases.map { ($0, tallies[$0] ?? Tally()) }),
            retries: retries.load(ordering: .relaxed),
            requests: tallies.values.reduce(0) { $0 + $1.requests },
            bytesIn: bytesIn.load(ordering: .relaxed),
            bytesOut: bytesOut.load(ordering: .relaxed),
            errors: tallies.values.reduce(0) { $0 + $1.failures },
            lastError: failure?.message,
            state: state
        )
    }

    /// Has every change of the state told from now on, also when the state is not `online` right now. The observer is
    /// called on whatever thread sees the change, one call at a time, and must not wait.
    package func observe(_ observer: @escaping @Sendable (_ state: State, _ previous: State) -> Void) {
        watch.withLock { $0.observer = observer }
        tellChange()
    }

    /// Tells the observer when the state has changed; a failure that grows old changes it without any attempt.
    package func tellChange() {
        let state = snapshot().state
        watch.withLock { watch in
            guard let observer = watch.observer, watch.told != state else { return }
            observer(state, watch.told)
            watch.told = state
        }
    }

    func received(bytes: Int) { bytesIn.add(UInt64(bytes), ordering: .relaxed) }
    func sent(bytes: Int) { bytesOut.add(UInt64(bytes), ordering: .relaxed) }

    func retried() { retries.add(1, ordering: .relaxed) }

    /// - Parameter start: of the attempt, on `MonotonicTime`.
    func answered(_ operation: StoreOperation, since start: UInt64) {
        count(operation, failed: false, since: start)
        deafAttempts.store(0, ordering: .relaxed)
        tellChange()
    }

    func failed(_ operation: StoreOperation, _ error: StoreError, since start: UInt64) {
        let isAnswer = error.kind == .notFound || error.kind == .unsupported
        count(operation, failed: !isAnswer, since: start)
        switch error.kind {
        case .notFound, .unsupported:
            deafAttempts.store(0, ordering: .relaxed)
            return tellChange()
        case .unavailable, .uncertain, .unauthorized: deafAttempts.add(1, ordering: .relaxed)
        case .forbidden, .full, .corrupt, .invalid: deafAttempts.store(0, ordering: .relaxed)
        }
        lastFailure.withLock { $0 = Failure(message: error.message, instant: .now) }
        tellChange()
    }

    private func count(_ operation: StoreOperation, failed: Bool, since start: UInt64) {
        switch operation {
        case .get: get.record(since: start)
        case .put: put.record(since: start)
        case .length, .delete, .list, .claim, .quota: other.record(since: start)
        }
        tallies.withLock { tallies in
            tallies[operation, default: Tally()].requests += 1
            if failed { tallies[operation, default: Tally()].failures += 1 }
        }
    }
}
