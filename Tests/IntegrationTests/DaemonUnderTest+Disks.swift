import Foundation
import VDriveProtocol
import VDriveTestKit

extension DaemonUnderTest {
    func create(_ name: String, size: String, on remote: TestRemote, _ options: String...) async throws {
        let answer = try await ctl(["create", name, "--size", size] + remote.arguments + options)
        guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
    }

    func importDisk(_ name: String, from remote: TestRemote, _ options: String...) async throws {
        let answer = try await ctl(["import", name] + remote.arguments + options)
        guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
    }

    /// Attaches the bare image.
    ///
    /// - Returns: its path.
    func attachImage(_ name: String) async throws -> String {
        try await mustCtl("attach", name, "--fs", "none")
        guard let image = try await status(name).image else {
            throw Failure(description: "An attached disk has no image.")
        }
        return image
    }

    /// How a job stands.
    func job(_ id: String) async throws -> Job {
        let text = try await mustCtl("call", "jobs.watch", #"{"id":"\#(id)"}"#)
        return try JSONDecoder().decode(Job.self, from: Data(text.utf8))
    }

    /// Where a test mounts its disk.
    func mountPoint(_ name: String) -> String { "\(folder)/mnt-\(name)" }

    /// What `vdrivectl events` prints within a second, ended by SIGINT as a person ends it.
    func eventsNow(_ words: String...) async throws -> ProgramAnswer {
        let second = ["env", "--default-signal", "timeout", "--preserve-status", "-s", "INT", "1"]
        let command = [try Self.program("vdrivectl"), "--socket", socket, "events"]
        return try await runProgram(second + command + words)
    }

    /// Ends the daemon and starts it anew on a machine that has lost everything: no state, no cache.
    func forgetEverything() async throws {
        try await terminate()
        try FileManager.default.removeItem(atPath: stateDirectory)
        try await start()
    }
}

/// A stopwatch.
func seconds(_ body: () async throws -> Void) async rethrows -> Double {
    let start = ContinuousClock.now
    try await body()
    return start.duration(to: .now) / .seconds(1)
}

/// Says a figure that was measured.
func say(_ text: String) { print("figure: \(text)") }

func text(_ number: Double, digits: Int = 1) -> String { String(format: "%.\(digits)f", number) }
func mebibytes(_ bytes: some BinaryInteger) -> String { text(Double(bytes) / 1_048_576) }
