package import Foundation
internal import Glibc
internal import Synchronization

/// A program that ends with this object, and also when the test process dies in whatever way.
///
/// A small shell stands between: it waits on a socket from us, which the kernel closes when we are gone, then ends the
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
        var lifeline: FileHandle
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
        // No other child may inherit our end, or the program would outlive us: closed on exec from its first moment.
        var ends: [Int32] = [0, 0]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        precondition(socketpair(AF_UNIX, kind, 0, &ends) == 0, "no socket pair: errno \(errno)")
        let lifeline = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", Self.script, scratch.path] + arguments
        process.standardInput = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try withAllSignals { try process.run() }
        self.scratch = scratch
        running = Mutex(Running(process: process, lifeline: lifeline))
    }

    deinit { stop() }

    /// Ends the program, without waiting for it: that would hold up a thread which Swift's tasks need. A second call
    /// does nothing.
    package func stop() {
        let taken = running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let taken else { return }
        try? taken.lifeline.close()
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
