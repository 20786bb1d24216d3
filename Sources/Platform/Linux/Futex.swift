internal import CLinux

/// Waiting on a 32-bit word in memory, within one process; the corresponding call is `futex(2)`.
package enum Futex {
    package enum Outcome: Sendable {
        /// Somebody woke the word, or it woke by itself: read it again.
        case woken
        /// The word did not hold the expected value.
        case changed
        case timedOut
    }

    /// Sleeps while the word holds `expected`, until somebody wakes it.
    ///
    /// The word is compared with sequential consistency; a wake between the comparison and the sleep is not lost.
    ///
    /// - Parameters:
    ///   - address: aligned to 4 bytes; the memory must stay for as long as anybody waits.
    ///   - timeout: nil waits without limit.
    @discardableResult
    package static func wait(
        _ address: UnsafeMutablePointer<UInt32>,
        expected: UInt32,
        timeout: Duration? = nil
    ) -> Outcome {
        let answer = CLinux_futex_wait(address, expected, timeout.map(nanoseconds) ?? -1)
        guard answer < 0 else { return .woken }
        switch Errno(rawValue: -answer) {
        case .wouldBlock: return .changed
        case .timedOut: return .timedOut
        // The caller reads the word again anyway.
        case .interrupted: return .woken
        case let error: preconditionFailure("futex wait: \(error)")
        }
    }

    /// Wakes at most `count` of those who wait.
    ///
    /// - Returns: how many were woken.
    @discardableResult
    package static func wake(_ address: UnsafeMutablePointer<UInt32>, count: Int = .max) -> Int {
        let answer = CLinux_futex_wake(address, Int32(clamping: count))
        precondition(answer >= 0, "futex wake: \(Errno(rawValue: -answer))")
        return Int(answer)
    }

    private static func nanoseconds(_ duration: Duration) -> Int64 {
        let parts = duration.components
        guard parts.seconds < Int64.max / 2_000_000_000 else { return Int64.max }
        return max(0, parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000)
    }
}
