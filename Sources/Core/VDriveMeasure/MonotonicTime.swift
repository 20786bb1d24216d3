internal import Glibc

/// Time for measuring, on a clock that only goes forward. Costs about 30 ns, no system call.
package enum MonotonicTime {
    /// Nanoseconds since some moment before the daemon's start.
    package static var nanoseconds: UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}
