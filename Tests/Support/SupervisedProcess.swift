package import Foundation
internal import Glibc
internal import Synchronization

/// A program that ends with this object, and also when the test process dies in whatever way.
///
/// A small shell stands between: it waits on a pipe from us, which the kernel closes when we are gone, then ends the
/// program by its process id and removes its scratch folder.
package final class SupervisedProcess: Sendable {
    private static let script = """
        scratch=$0
        "$@" </dev/null >>"$scratch/output.log" 2>&1 &
        pid=$!
        cat >/dev/null
        kill $pid 2>/dev/null
        (sleep 10; kill -9 $pid 2>/dev/null) </dev/null >/dev/null 2>&1 &
        killer=$!
        wait $pid 2>/dev/null
        kill $killer 2>/dev/null
        rm -rf "$scratch"
        """

    private struct Running: @unchecked Sendable {
        // SAFETY: touched only inside the mutex.
        var process: Process
        var lifeline: Pipe
    }

    private let running: Mutex<Running?>
    private let scratch: URL

    /// Starts a program.
    ///
    /// - Parameter arguments: the program's path, then what it gets.
    /// - Parameter scratch: an existing folder for its files; it is removed at the end. `output.log` in it takes all
    ///   that the program says.
    package init(_ arguments: [String], scratch: URL) throws {
        let process = Process()
        let lifeline = Pipe()
        // No other child may inherit our end, or the program would outlive us.
        _ = fcntl(lifeline.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", Self.script, scratch.path] + arguments
        process.standardInput = lifeline
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try withAllSignals { try process.run() }
        self.scratch = scratch
        running = Mutex(Running(process: process, lifeline: lifeline))
    }

    deinit { stop() }

    /// Ends the program and waits for its end. A second call does nothing.
    package func stop() {
        let taken = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let taken else { return }
        try? taken.lifeline.fileHandleForWriting.close()
        taken.process.waitUntilExit()
    }

    /// Waits until a loopback port answers.
    ///
    /// - Throws: after 20 seconds, with the end of what the program said.
    package func waitForPort(_ port: UInt16) async throws {
        for _ in 0..<400 {
            if FreePort.answers(port) { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        let log = (try? String(contentsOf: scratch.appendingPathComponent("output.log"), encoding: .utf8)) ?? ""
        throw SharedTools.Missing(description: "Nothing answers on port \(port). \(log.suffix(500))")
    }
}

/// Runs a body with no signal blocked. Swift's threads block them all, a child inherits that, and then no SIGTERM would
/// reach Apache.
private func withAllSignals(_ body: () throws -> Void) rethrows {
    var none = sigset_t()
    var before = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try body()
}

/// Runs a program to its end.
///
/// - Returns: what it wrote to its standard output.
/// - Throws: when it cannot be started or ends with another status than 0.
@discardableResult
package func runTool(_ arguments: [String]) throws -> String {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
        throw SharedTools.Missing(description: "\(arguments.joined(separator: " ")) ended with \(process.terminationStatus)")
    }
    return text
}
