internal import Synchronization

/// How many retries one remote gets, over all callers: a bucket of tokens that fills at a steady rate.
///
/// A server that comes back is not to be knocked down again by everybody's retries at once. An empty bucket does not
/// fail a call, it makes it wait for its turn.
package final class RetryBudget: Sendable {
    /// Retries that may go out at once.
    private static let burst = 64.0
    private static let perSecond = 8.0
    /// The longest wait for a token, so that a crowd of callers does not push the last one out of sight.
    private static let waitSecondsMax = 60.0

    private struct Bucket {
        var tokens: Double
        var seconds: Double
    }

    private let bucket = Mutex(Bucket(tokens: burst, seconds: 0))

    package init() {}

    /// Takes a token, in advance if need be.
    ///
    /// - Parameter seconds: now, on a clock that only goes forward.
    /// - Returns: the seconds until the token is there; 0 when it is.
    func take(at seconds: Double) -> Double {
        bucket.withLock { bucket in
            let filled = bucket.tokens + max(0, seconds - bucket.seconds) * Self.perSecond
            let floor = -Self.waitSecondsMax * Self.perSecond
            bucket.tokens = max(min(Self.burst, filled) - 1, floor)
            bucket.seconds = max(bucket.seconds, seconds)
            return max(0, -bucket.tokens / Self.perSecond)
        }
    }
}
