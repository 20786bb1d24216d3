internal import Glibc

/// What this process takes of the machine.
package struct ProcessUsage: Sendable {
    /// `VmRSS`.
    package let residentBytes: UInt64
    package let openFiles: Int
    /// User and system time of all threads since the start.
    package let cpuSeconds: Double

    /// Asks the kernel: two small files of `/proc` and a clock, some tens of microseconds.
    package static func current() throws(Errno) -> ProcessUsage {
        // Pages: the whole address space, then what is resident.
        let statm = try readText("/proc/self/statm").split(separator: " ")
        guard statm.count > 1, let pages = UInt64(statm[1]) else { throw .ioError }
        var cpu = timespec()
        try systemCall { clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) }
        return ProcessUsage(
            residentBytes: pages * UInt64(sysconf(CInt(_SC_PAGESIZE))),
            // The listing itself has one of them open.
            openFiles: try Directory.list("/proc/self/fd").count - 1,
            cpuSeconds: Double(cpu.tv_sec) + Double(cpu.tv_nsec) / 1e9
        )
    }
}
