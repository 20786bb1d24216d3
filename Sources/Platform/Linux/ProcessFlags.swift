internal import CLinux
import Glibc

/// What the daemon asks of the kernel for itself, at the start, before any other thread exists.
package enum ProcessFlags {
    /// Marks the calling thread, and all threads and processes it starts from now on, as a part of the way to a disk:
    /// memory is found for them without waiting for write-back that may itself wait for us. Linux 5.6.
    ///
    /// Set by `PR_SET_IO_FLUSHER` and read back with `PR_GET_IO_FLUSHER`.
    ///
    /// - Throws: `Errno.notPermitted` without `CAP_SYS_RESOURCE`.
    package static func setIOFlusher() throws(Errno) {
        try shimCall { CLinux_set_io_flusher(1) }
        guard isIOFlusher else { throw .invalidArgument }
    }

    /// Takes the mark of `setIOFlusher` from the calling thread, which is inherited.
    package static func clearIOFlusher() throws(Errno) { try shimCall { CLinux_set_io_flusher(0) } }

    /// Whether the calling thread is marked.
    package static var isIOFlusher: Bool { CLinux_get_io_flusher() == 1 }

    /// Keeps every page that is touched, now or later, in memory; untouched address space costs nothing
    /// (`mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)`).
    ///
    /// - Throws: `Errno.noMemory` or `notPermitted` where the limit `RLIMIT_MEMLOCK` holds.
    package static func lockMemory() throws(Errno) {
        try shimCall { CLinux_lock_all_on_fault() }
    }

    /// Makes the C library give large buffers back to the system at once, instead of keeping them in an arena a thread:
    /// with tens of threads and buffers of a chunk that is hundreds of MiB.
    ///
    /// Call it before the first thread starts.
    ///
    /// - Throws: `Errno.invalidArgument` where the C library does not know the settings.
    package static func boundAllocator() throws(Errno) {
        try shimCall { CLinux_bound_allocator(arenasMax, mappedBytesMin) }
    }

    /// Arenas beyond the number of cores only hold memory.
    private static let arenasMax: CInt = 4
    /// Larger than any record, smaller than a chunk's buffer.
    private static let mappedBytesMin: CInt = 256 * 1024

    /// Undoes `lockMemory`.
    package static func unlockMemory() throws(Errno) {
        try shimCall { CLinux_unlock_all() }
    }

    /// How gladly the kernel kills this process, and those that it starts, when memory runs out.
    ///
    /// - Parameter score: -1000 (never) … 1000 (first).
    package static func setOOMScoreAdjust(_ score: Int) throws(Errno) {
        precondition((-1000...1000).contains(score), "an OOM score of \(score)")
        try writeText("\(score)", to: "/proc/self/oom_score_adj")
    }

    package static func oomScoreAdjust() throws(Errno) -> Int {
        guard let score = Int(try readText("/proc/self/oom_score_adj")) else { throw .ioError }
        return score
    }

    /// Names the calling thread; the main thread's name is the process's. The kernel keeps 15 bytes.
    package static func setName(_ name: String) throws(Errno) {
        try shimCall { CLinux_set_name(name) }
    }

    /// Raises the number of files that may be open to the hard limit, and that too as far as the kernel lets it.
    ///
    /// - Returns: the limit that holds now.
    @discardableResult
    package static func raiseFileLimit(to wanted: UInt64 = 1 << 20) throws(Errno) -> UInt64 {
        var limit = rlimit()
        try systemCall { getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        if limit.rlim_max < wanted {
            var raised = rlimit(rlim_cur: rlim_t(wanted), rlim_max: rlim_t(wanted))
            // Only with CAP_SYS_RESOURCE, and only up to fs.nr_open.
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { return wanted }
        }
        limit.rlim_cur = min(limit.rlim_max, rlim_t(wanted))
        try systemCall { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        return UInt64(limit.rlim_cur)
    }
}
