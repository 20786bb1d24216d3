internal import CLinux
import Glibc

/// What a program that was run has answered.
package struct SubprocessResult: Sendable {
    /// The exit status; 128 and the signal's number for a program that a signal ended, as a shell has it.
    package let status: Int
    /// Standard output and standard error, in the order in which they came, cut at the limit.
    package let output: String

    package var isSuccess: Bool { status == 0 }

    /// The last line of the output that is not empty: programs put their reason there.
    package var lastLine: String {
        output.split(whereSeparator: \.isNewline).last.map(String.init) ?? "no output"
    }
}

/// Why a program did not run to its end.
package enum SubprocessError: Error, Hashable, Sendable, CustomStringConvertible {
    case notFound(String)
    case notStarted(String, Errno)
    /// It ran longer than allowed, and was killed.
    case timedOut(String, seconds: Int)

    package var description: String {
        switch self {
        case .notFound(let program): "The program \(program) is not installed."
        case .notStarted(let program, let error): "The program \(program) cannot be started: \(error)."
        case .timedOut(let program, let seconds): "The program \(program) ran longer than \(seconds) s and was stopped."
        }
    }
}

/// Other programs, run by `posix_spawn` with their arguments as they are: never through a shell.
///
/// A program gets `/dev/null` as its input, no descriptor of ours but its output, the C locale, a process group of its
/// own, and all signals as they are by default.
package enum Subprocess {
    package static let outputBytesMax = 256 * 1024
    package static let searchFolders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    /// Where a program is installed, or nil. A name with a slash is taken as it is.
    package static func locate(_ program: String) -> String? {
        let candidates = program.contains("/") ? [program] : searchFolders.map { "\($0)/\(program)" }
        return candidates.first { access($0, X_OK) == 0 }
    }

    /// Runs a program and waits for its end, without blocking the caller's thread.
    ///
    /// - Parameters:
    ///   - arguments: the program first; without a slash it is searched in `searchFolders`.
    ///   - timeoutSeconds: after that, the program's process group is killed.
    nonisolated(nonsending)
        package static func run(
            _ arguments: [String],
            timeoutSeconds: Int,
            on threads: BlockingThreads
        ) async throws(SubprocessError) -> SubprocessResult
    {
        try await threads.run { () throws(SubprocessError) in
            try runBlocking(arguments, timeoutSeconds: timeoutSeconds)
        }
    }

    /// As `run`, on the calling thread.
    package static func runBlocking(
        _ arguments: [String],
        timeoutSeconds: Int
    ) throws(SubprocessError) -> SubprocessResult {
        precondition(!arguments.isEmpty, "no program to run")
        guard let program = locate(arguments[0]) else { throw .notFound(arguments[0]) }
        let child: Child
        do {
            child = try Child(program: program, arguments: arguments)
        } catch {
            throw .notStarted(arguments[0], error)
        }
        let deadline = ContinuousClock.now + .seconds(timeoutSeconds)
        var output: [UInt8] = []
        let isInTime = child.collect(into: &output, limit: outputBytesMax, until: deadline)
        guard isInTime else {
            child.kill()
            throw .timedOut(arguments[0], seconds: timeoutSeconds)
        }
        return SubprocessResult(status: child.reap(), output: String(decoding: output, as: UTF8.self))
    }
}

extension Subprocess {
    /// Starts a program in a process group of its own.
    ///
    /// - Parameters:
    ///   - input: becomes its standard input; nil for `/dev/null`.
    ///   - errors: nil for our own standard error.
    ///   - environment: beside the search path, the C locale and UTC.
    /// - Returns: the process, and a descriptor that becomes readable when it ends.
    static func spawn(
        _ program: String,
        _ arguments: [String],
        input: OpenFile? = nil,
        output: OpenFile,
        errors: OpenFile?,
        environment: [String] = []
    ) throws(Errno) -> (process: pid_t, end: OpenFile) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input.descriptor, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, output.descriptor, 1)
        if let errors { posix_spawn_file_actions_adddup2(&actions, errors.descriptor, 2) }
        CLinux_spawn_closes_from(&actions, 3)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP)
        )

        let standard = ["PATH=\(Subprocess.searchFolders.joined(separator: ":"))", "LC_ALL=C", "TZ=UTC"]
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = (standard + environment).map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var process = pid_t()
        let answer = posix_spawn(&process, program, &actions, &attributes, &argv, &envp)
        guard answer == 0 else { throw Errno(rawValue: answer) }
        do {
            return (process, OpenFile(owning: try shimCall { CLinux_open_process(process) }))
        } catch {
            kill(-process, SIGKILL)
            waitpid(process, nil, 0)
            throw error
        }
    }

    /// A pipe whose ends no other program inherits.
    static func pipe() throws(Errno) -> (reading: OpenFile, writing: OpenFile) {
        var ends: [CInt] = [0, 0]
        try shimCall { CLinux_pipe(&ends) }
        return (OpenFile(owning: ends[0]), OpenFile(owning: ends[1]))
    }
}

/// A program that runs, the pipe that it writes to, and the descriptor that becomes readable when it ends.
private struct Child: ~Copyable {
    private let process: pid_t
    private let output: OpenFile
    private let end: OpenFile

    init(program: String, arguments: [String]) throws(Errno) {
        // The end to write to is closed when init returns: from then on only the child has it.
        let (output, input) = try Subprocess.pipe()
        try systemCall { fcntl(output.descriptor, F_SETFL, O_NONBLOCK) }
        (process, end) = try Subprocess.spawn(program, arguments, output: input, errors: input)
        self.output = output
    }

    /// Reads what the child writes, until it has ended; what grandchildren write later is not waited for.
    ///
    /// - Returns: false when the deadline came first.
    func collect(into bytes: inout [UInt8], limit: Int, until deadline: ContinuousClock.Instant) -> Bool {
        var isOpen = true
        while true {
            let left = (deadline - .now).components
            guard left.seconds >= 0, left.attoseconds >= 0 else { return false }
            var waits = [
                pollfd(fd: end.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isOpen ? output.descriptor : -1, events: Int16(POLLIN), revents: 0),
            ]
            let milliseconds = min(left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1, 60_000)
            guard poll(&waits, 2, CInt(milliseconds)) > 0 else { continue }
            if waits[1].revents != 0 { isOpen = drain(into: &bytes, limit: limit) }
            if waits[0].revents != 0 {
                if isOpen { _ = drain(into: &bytes, limit: limit) }
                return true
            }
        }
    }

    /// - Returns: false at the end of the pipe.
    private func drain(into bytes: inout [UInt8], limit: Int) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 16 * 1024, alignment: 16) { buffer in
            while true {
                let count = read(output.descriptor, buffer.baseAddress, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 && errno == EAGAIN }
                bytes.append(contentsOf: buffer[..<min(count, max(0, limit - bytes.count))])
            }
        }
    }

    /// Kills the child's process group and reaps the child, unless it hangs in the kernel (a device that does not
    /// answer): then nobody can end it, and it is left behind rather than waited for.
    func kill() {
        Glibc.kill(-process, SIGKILL)
        var wait = pollfd(fd: end.descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&wait, 1, 5000) > 0 { _ = reap() }
    }

    /// Waits for the child's end; the exit status.
    func reap() -> Int {
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return Int(CLinux_exit_status(status))
    }
}
