import ArgumentParser
import Glibc
import Linux
import Logging
import VDriveControl
import VDriveHost
import VDriveProtocol

/// The daemon's entry.
@main
enum Main {
    static func main() async {
        if CommandLine.arguments.dropFirst().first == PathProcess.argument { exit(PathProcess.main()) }
        ProcessSettings.withoutBacktraces()
        // First of all: the flags of a thread are inherited by those that it starts, and no other one exists yet.
        let warnings = ProcessSettings.apply()
        let arguments = Arguments.parseOrExit()
        let daemon: Daemon
        do throws(RPCError) {
            daemon = try prepare(arguments)
        } catch {
            end(saying: error.message, status: 2)
        }
        let logger = daemon.logger
        for warning in warnings { logger.warning("\(warning)") }
        do throws(FaultEnvironmentError) {
            if let faults = try FaultEnvironment.arm() {
                logger.warning(
                    "faults are armed: this daemon will fail on purpose, for a test",
                    metadata: ["faults": "\(faults)"]
                )
            }
        } catch {
            end(saying: "\(error)", status: 2)
        }
        do {
            try await daemon.run()
        } catch {
            end(saying: "\(error)", status: EXIT_FAILURE)
        }
    }

    /// Settles all that the daemon is told, by whomever.
    ///
    /// - Throws: `fixConfiguration`, or `invalidParams`.
    private static func prepare(_ arguments: Arguments) throws(RPCError) -> Daemon {
        let configuration = try DaemonConfiguration(
            options: arguments.settings,
            configOption: arguments.config,
            variable: environmentVariable
        )
        let daemon = Daemon(
            configuration: configuration,
            group: try configuration.socketGroup.map(AccessPolicy.Group.init(named:)),
            layout: try StateLayout(
                stateDirectory: configuration.stateDirectory,
                runDirectory: configuration.runDirectory
            ),
            activation: try SocketActivation(pid: getpid(), variable: environmentVariable),
            supervision: try Supervision(pid: getpid(), variable: environmentVariable),
            logger: Logger(label: "vdrived") { _ in LogLines(level: configuration.logLevel) }
        )
        for name in SocketActivation.variables + Supervision.variables { removeEnvironmentVariable(name) }
        return daemon
    }

    /// The sentence for whoever started the daemon stands alone, not in a log line.
    private static func end(saying sentence: String, status: CInt) -> Never {
        Array("vdrived: \(sentence)\n".utf8).withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
        exit(status)
    }
}

/// What the daemon asks of the kernel for itself. Everything is best effort: without a right, it runs less well.
private enum ProcessSettings {
    /// Starts the program anew without Swift's backtraces, unless the environment speaks of them.
    ///
    /// The tracer stops a crashed daemon, which then holds its FUSE descriptors: every user of the disk would hang,
    /// and no restart could help. The runtime reads its settings before `main`, so they have to be there from the
    /// start.
    static func withoutBacktraces() {
        guard getenv("SWIFT_BACKTRACE") == nil else { return }
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard readlink("/proc/self/exe", &path, path.count - 1) > 0 else { return }
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        execv(path, CommandLine.unsafeArgv)
    }

    /// - Returns: one sentence for each thing that the kernel did not allow.
    static func apply() -> [String] {
        var warnings: [String] = []
        func attempt(_ consequence: String, _ body: () throws(Errno) -> Void) {
            do throws(Errno) {
                try body()
            } catch {
                warnings.append("\(consequence): \(error)")
            }
        }
        // A client that goes away, or a curl connection that breaks, is an error code and not the end.
        signal(SIGPIPE, SIG_IGN)
        attempt("Under memory pressure the daemon may wait for itself (PR_SET_IO_FLUSHER)") { () throws(Errno) in
            try ProcessFlags.setIOFlusher()
        }
        attempt("The daemon's memory may be swapped out (mlockall)") { () throws(Errno) in
            // With a limit, locking would make later allocations fail instead.
            var limit = rlimit(rlim_cur: .max, rlim_max: .max)
            guard setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else { throw Errno.current }
            try ProcessFlags.lockMemory()
        }
        attempt("The kernel may end the daemon when memory runs out (oom_score_adj)") { () throws(Errno) in
            try ProcessFlags.setOOMScoreAdjust(-1000)
        }
        attempt("Freed memory stays with the daemon (mallopt)") { () throws(Errno) in
            try ProcessFlags.boundAllocator()
        }
        attempt("Few files can be open at the same time (RLIMIT_NOFILE)") { () throws(Errno) in
            try ProcessFlags.raiseFileLimit()
        }
        return warnings
    }
}
