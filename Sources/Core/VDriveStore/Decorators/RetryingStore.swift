package import Logging
internal import Synchronization
package import VDriveModel

/// Tries again what may succeed later: full-jitter exponential backoff, within a deadline and a budget.
///
/// Everything may be repeated, since objects are immutable and deletes idempotent, but for a claim whose answer was
/// lost: a second try would meet what the first one made. The driver calls that `uncertain`, and it is passed on;
/// `unavailable` means that the claim was surely not made, as when a server is busy with somebody else's. When the
/// caller's task is cancelled no further try is made.
package struct RetryingStore<C: Clock>: ObjectStore where C.Duration == Duration {
    private let inner: any ObjectStore
    private let deadline: Duration?
    private let budget: RetryBudget
    private let meter: StoreMeter
    private let clock: C
    private let origin: C.Instant
    private let jitter: Jitter
    private let logger: Logger

    /// - Parameter deadline: from the start of a call to its last error; nil for trying as long as it may help. An
    ///   attempt that is under way at the deadline is cancelled.
    /// - Parameter budget: shared by all who retry at the same remote; so is the meter, which counts the retries.
    package init(
        _ inner: any ObjectStore,
        deadline: Duration?,
        budget: RetryBudget,
        meter: StoreMeter,
        clock: C,
        generator: any RandomNumberGenerator & Sendable,
        logger: Logger
    ) {
        self.inner = inner
        self.deadline = deadline
        self.budget = budget
        self.meter = meter
        self.clock = clock
        self.origin = clock.now
        self.jitter = Jitter(generator)
        self.logger = logger
    }

    package var location: String { inner.location }
    package var claimPrimitives: [ClaimPrimitive] { inner.claimPrimitives }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await retried { () async throws(StoreError) in try await inner.get(name, range: range) }
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        try await retried { () async throws(StoreError) in try await inner.put(name, body) }
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        try await retried { () async throws(StoreError) in try await inner.length(of: name) }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        try await retried { () async throws(StoreError) in try await inner.delete(name) }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        try await retried { () async throws(StoreError) in try await inner.list(folder) }
    }

    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        // No deadline cuts an attempt off, for then nobody would know who won.
        try await retried(cuttingOff: false) { () async throws(StoreError) in
            try await inner.claim(name, with: primitive)
        }
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        try await retried { () async throws(StoreError) in try await inner.quota() }
    }

    private func retried<Value: Sendable>(
        cuttingOff: Bool = true,
        _ attempt: @escaping @Sendable () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        let end = deadline.map { clock.now.advanced(by: $0) }
        var backoff = Backoff()
        while true {
            let failure: StoreError
            do throws(StoreError) {
                return try await bounded(by: cuttingOff ? end : nil, attempt)
            } catch {
                failure = error
            }
            guard backoff.allowsRetry(after: failure), !Task.isCancelled else { throw failure }
            let now = clock.now
            let sinceOrigin = seconds(origin.duration(to: now))
            let wait = max(
                backoff.next(fraction: jitter.fraction(), retryAfterSeconds: failure.retryAfterSeconds),
                budget.take(at: sinceOrigin)
            )
            let wakeUp = now.advanced(by: .seconds(wait))
            if let end, wakeUp >= end { throw failure }
            if backoff.attempts.nonzeroBitCount == 1 {
                logger.warning("\(failure.message) Trying again.", metadata: ["attempts": "\(backoff.attempts)"])
            }
            do { try await clock.sleep(until: wakeUp, tolerance: nil) } catch { throw failure }
            meter.retried()
        }
    }

    /// Runs one attempt, and cancels it at the deadline.
    private func bounded<Value: Sendable>(
        by end: C.Instant?,
        _ attempt: @escaping @Sendable () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        guard let end else { return try await attempt() }
        let clock = clock
        let location = location
        let result = await withTaskGroup(of: Result<Value, StoreError>?.self) { group in
            group.addTask {
                do throws(StoreError) {
                    return .success(try await attempt())
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                // Cancelled when the attempt came first, or with the caller: the attempt's own result counts.
                do { try await clock.sleep(until: end, tolerance: nil) } catch { return nil }
                return .failure(StoreError(.unavailable, "\(location) has not answered within the deadline."))
            }
            var result: Result<Value, StoreError>?
            while result == nil, let first = await group.next() { result = first }
            group.cancelAll()
            return result
        }
        guard let result else { preconditionFailure("the attempt always has a result") }
        return try result.get()
    }
}

/// When to try next: pure arithmetic.
struct Backoff {
    static let baseSeconds = 0.1
    /// A remote that is back is noticed within seconds; that nobody knocks it down again is the budget's affair.
    static let capSeconds = 5.0
    /// An object that comes back wrong this often is wrong at the remote, not on the way.
    static let corruptAttemptsMax = 4
    /// No server may send us to sleep for longer.
    static let retryAfterSecondsMax = 300.0

    private(set) var attempts = 0
    private var corruptAttempts = 0

    /// Counts a failed attempt.
    mutating func allowsRetry(after error: StoreError) -> Bool {
        attempts += 1
        if error.kind == .corrupt { corruptAttempts += 1 }
        return error.isTransient && corruptAttempts < Self.corruptAttemptsMax
    }

    /// Seconds until the next attempt: anything from 0 to the exponential bound, after what the server asked for.
    ///
    /// - Parameter fraction: random, from 0 to 1.
    func next(fraction: Double, retryAfterSeconds: Double?) -> Double {
        // 2^8 is beyond the cap; a larger exponent would only overflow one day.
        let bound = min(Self.capSeconds, Self.baseSeconds * Double(1 << min(attempts - 1, 8)))
        return min(retryAfterSeconds ?? 0, Self.retryAfterSecondsMax) + bound * fraction
    }
}

private final class Jitter: Sendable {
    private let generator: Mutex<any RandomNumberGenerator & Sendable>

    init(_ generator: any RandomNumberGenerator & Sendable) {
        self.generator = Mutex(generator)
    }

    /// From 0 to 1.
    func fraction() -> Double {
        generator.withLock { Double($0.next() >> 11) / Double(1 << 53) }
    }
}

private func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds) * 1e-18
}
