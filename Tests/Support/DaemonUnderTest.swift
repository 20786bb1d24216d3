package import Foundation
internal import Glibc
internal import Linux
internal import Synchronization
internal import VDriveClient
package import VDriveProtocol

/// A real `vdrived` with folders of its own, and `vdrivectl` to steer it.
///
/// ## Notes on the design
/// Everything of a daemon lies under one folder: socket, state, FUSE mounts, the mount points that tests use. So what
/// it leaves behind can be told from what is others': a mount below the folder, a loop device whose image is below
/// it. It is cleared away in three ways: by the daemon itself, when it is told to end; after a failure, by `close`;
/// and when the test process dies, by a shell that waits on a pipe which the kernel then closes.
package final class DaemonUnderTest: Sendable {
    /// What the daemon did that it should not have done.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String

        package init(description: String) { self.description = description }
    }

    /// Who opens the control socket.
    package enum Launch: Sendable {
        case itself
        /// `systemd-socket-activate`, which starts the daemon for the first client, in an environment of its own.
        case socketActivation
    }

    private struct Running: @unchecked Sendable {
        // SAFETY: touched only inside the mutex.
        var process: Process?
    }

    /// Everything of this daemon is below it.
    package let folder: String
    private let logLevel: String
    private let environment: [String: String]
    private let launch: Launch
    private let options: [String]
    private let janitor: Janitor
    private let running = Mutex(Running())

    package var socket: String { "\(folder)/socket" }
    package var stateDirectory: String { "\(folder)/state" }
    package var runDirectory: String { "\(folder)/run" }
    private var logFile: String { "\(folder)/vdrived.log" }
    private var pidFile: String { "\(folder)/vdrived.pid" }

    private init(
        purpose: String,
        logLevel: String,
        environment: [String: String],
        launch: Launch,
        options: [String]
    ) throws {
        let scratch = try makeScratchFolder(purpose)
        // Servers that drop their rights come by here.
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: scratch.path)
        folder = scratch.path
        self.logLevel = logLevel
        self.environment = environment
        self.launch = launch
        self.options = options
        janitor = try Janitor(folder: folder)
    }

    /// Runs a body with a daemon, and clears everything away behind it, however the body ends.
    ///
    /// When the test is cancelled (its time is up), the daemon is killed, so that whatever waits for it goes on.
    ///
    /// - Parameters:
    ///   - environment: variables for the daemon, such as VDRIVE_FAULTS, beside those of the test process.
    ///   - launch: who opens the control socket.
    ///   - options: more of the daemon's command line.
    ///   - starts: whether the daemon runs when the body begins; otherwise the body starts it.
    /// - Throws: what the body throws; `Failure` when the daemon does not end well, or leaves mounts or devices behind.
    package static func use(
        _ purpose: String,
        logLevel: String = "info",
        environment: [String: String] = [:],
        launch: Launch = .itself,
        options: [String] = [],
        starts: Bool = true,
        _ body: (DaemonUnderTest) async throws -> Void
    ) async throws {
        let daemon = try DaemonUnderTest(
            purpose: purpose,
            logLevel: logLevel,
            environment: environment,
            launch: launch,
            options: options
        )
        try await withTaskCancellationHandler {
            do {
                if starts { try await daemon.start() }
                try await body(daemon)
                try await daemon.terminate()
                let left = daemon.leftovers()
                guard left.isEmpty else { throw Failure(description: "The daemon left behind: \(left)") }
            } catch {
                daemon.keepLog(purpose)
                daemon.signal(SIGKILL)
                _ = try? await daemon.waitForEnd(seconds: 10)
                await daemon.janitor.finish()
                throw error
            }
            await daemon.janitor.finish()
        } onCancel: {
            daemon.signal(SIGKILL)
        }
    }

    // MARK: Life

    /// Where `swift build` put the programs: beside this test's own executable.
    package static func program(_ name: String) throws -> String {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent(name).path
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw Failure(description: "There is no \(path); build the package's products first.")
        }
        return path
    }

    /// Starts the daemon, and waits until it answers.
    ///
    /// - Parameter environment: variables for this run; nil for those that `use` was given.
    package func start(environment: [String: String]? = nil) async throws {
        let own = ["SWIFT_BACKTRACE": "enable=no"].merging(environment ?? self.environment) { $1 }
        try await blocking { [self] in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            // Threads of tests have signals blocked, and children inherit that.
            process.arguments = ["--default-signal"] + (try command(own))
            // The program that prints backtraces may hang, and then holds the sockets of the daemon that has crashed.
            process.environment = ProcessInfo.processInfo.environment.merging(own) { $1 }
            if !FileManager.default.fileExists(atPath: logFile) {
                try Data().write(to: URL(fileURLWithPath: logFile))
            }
            let output = try FileHandle(forWritingTo: URL(fileURLWithPath: logFile))
            try output.seekToEnd()
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = output
            process.standardError = output
            try process.run()
            try? output.close()
            try "\(process.processIdentifier)".write(toFile: pidFile, atomically: true, encoding: .utf8)
            running.withLock { $0.process = process }
        }
        for _ in 0..<600 {
            if (try? ControlConnection(path: socket)) != nil { return }
            guard running.withLock({ $0.process?.isRunning == true }) else {
                throw Failure(description: "The daemon ended at its start.")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw Failure(description: "The daemon does not answer.")
    }

    private func command(_ variables: [String: String]) throws -> [String] {
        let program = try Self.program("vdrived")
        // The machine's own configuration is no concern of a test.
        let common = [
            "--config", "/dev/null", "--state-dir", stateDirectory, "--run-dir", runDirectory, "--log-level", logLevel,
        ]
        switch launch {
        case .itself: return [program, "--socket", socket] + common + options
        case .socketActivation:
            // Without SWIFT_BACKTRACE the daemon starts itself once more, and must find its socket all the same.
            let settings = variables.filter { $0.key != "SWIFT_BACKTRACE" }.map { "--setenv=\($0.key)=\($0.value)" }
            return ["systemd-socket-activate", "--listen=\(socket)"] + settings + [program] + common + options
        }
    }

    /// The process id; 0 when it does not run.
    package var pid: pid_t { running.withLock { $0.process?.processIdentifier ?? 0 } }

    /// Ends the daemon as `systemctl stop` does; all that is dirty is committed then.
    ///
    /// - Throws: when it takes longer than a minute, or ends with another status than 0.
    package func terminate() async throws {
        guard pid != 0 else { return }
        signal(SIGTERM)
        let status = try await waitForEnd(seconds: 60)
        guard status == 0 else { throw Failure(description: "The daemon ended with \(status) after SIGTERM.") }
    }

    /// Ends the daemon as a crash does.
    package func crash() async throws {
        signal(SIGKILL)
        try await waitForEnd(seconds: 20)
    }

    /// Waits for the end of a daemon that is to end by itself, by a fault point that was armed.
    ///
    /// - Returns: its status; 128 and the signal's number when a signal ended it.
    @discardableResult
    package func waitForItsEnd(seconds: Int = 30) async throws -> CInt { try await waitForEnd(seconds: seconds) }

    private func signal(_ number: CInt) {
        running.withLock { running in
            // A process that was not waited for keeps its id.
            if let process = running.process, process.isRunning { kill(process.processIdentifier, number) }
        }
    }

    @discardableResult
    private func waitForEnd(seconds: Int) async throws -> CInt {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            let ended = running.withLock { running -> CInt? in
                guard let process = running.process else { return 0 }
                guard !process.isRunning else { return nil }
                running.process = nil
                return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
            }
            if let ended {
                try? FileManager.default.removeItem(atPath: pidFile)
                return ended
            }
            // Also when the test is cancelled: the daemon is about to end.
            try await blocking { _ = usleep(10_000) }
        }
        throw Failure(description: "The daemon does not end.")
    }

    // MARK: Talking

    /// Runs `vdrivectl`, whatever it answers.
    package func ctl(_ arguments: [String], timeoutSeconds: Int = 120) async throws -> ProgramAnswer {
        try await runProgram(
            [Self.program("vdrivectl"), "--socket", socket] + arguments,
            timeoutSeconds: timeoutSeconds
        )
    }

    /// Runs `vdrivectl`, which must succeed.
    @discardableResult
    package func mustCtl(_ arguments: String..., timeoutSeconds: Int = 120) async throws -> String {
        try await mustCtl(arguments, timeoutSeconds: timeoutSeconds)
    }

    /// Runs `vdrivectl`, which must succeed.
    @discardableResult
    package func mustCtl(_ arguments: [String], timeoutSeconds: Int = 120) async throws -> String {
        let answer = try await ctl(arguments, timeoutSeconds: timeoutSeconds)
        guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
        return answer.output
    }

    /// What `vdrivectl status NAME --json` says.
    package func status(_ name: String) async throws -> DiskStatus {
        let text = try await mustCtl("status", name, "--json")
        return try JSONDecoder().decode(DiskStatus.self, from: Data(text.utf8))
    }

    /// Waits until a disk is attached, as it should be by itself after a start.
    package func waitUntilAttached(_ name: String, seconds: Int = 30) async throws -> DiskStatus {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let status = try await status(name)
            if status.state == .attached { return status }
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    description: "\(name) is \(status.state.rawValue), not attached: \(status.lastError ?? "no error")"
                )
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    // MARK: Looking

    /// Everything that the daemon has said.
    package var log: String { (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? "" }

    /// Keeps the log of a test that failed, and shows its worst lines.
    private func keepLog(_ purpose: String) {
        let kept = FileManager.default.temporaryDirectory.appendingPathComponent("vdrived-\(purpose)-\(getpid()).log")
            .path
        try? FileManager.default.removeItem(atPath: kept)
        try? FileManager.default.copyItem(atPath: logFile, toPath: kept)
        let bad = log.split(separator: "\n").filter { line in
            [" warning ", " error ", " critical ", "Fatal error", "crashed:"].contains { line.contains($0) }
        }
        print("the daemon's log is kept as \(kept); it says:\n\(bad.suffix(20).joined(separator: "\n"))")
    }

    /// Bytes of memory that the daemon has, `VmRSS`.
    package func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        guard let number = line?.split(separator: " ").dropFirst().first, let kibibytes = Int(number) else {
            throw Failure(description: "The kernel does not tell the daemon's VmRSS.")
        }
        return kibibytes << 10
    }

    /// Seconds of processor time that the daemon has taken.
    package func processorSeconds() throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        // The second field is a name in parentheses; of those after it, user and system time are the 12th and 13th.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        guard fields.count > 13, let user = Double(fields[12]), let system = Double(fields[13]) else {
            throw Failure(description: "The kernel does not tell the daemon's time.")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Mounts and loop devices below the folder.
    package func leftovers() -> [String] {
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        let places = mounts.split(separator: "\n").compactMap { line -> String? in
            let words = line.split(separator: " ")
            return words.count > 4 && words[4].hasPrefix(folder + "/") ? String(words[4]) : nil
        }
        let devices = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/block")) ?? []
        let loops = devices.filter { device in
            let file = try? String(contentsOfFile: "/sys/block/\(device)/loop/backing_file", encoding: .utf8)
            return file?.hasPrefix(folder + "/") == true
        }
        return places + loops.map { "/dev/\($0)" }
    }
}
