internal import Foundation
internal import Linux

/// What a program that was run has answered, with its two outputs apart.
package struct ProgramAnswer: Sendable, CustomStringConvertible {
    package let arguments: [String]
    /// The exit status; 128 and the signal's number for a program that a signal ended.
    package let status: Int
    package let output: String
    package let errors: String

    package var isSuccess: Bool { status == 0 }
    package var description: String {
        "\(arguments.joined(separator: " ")) ended with \(status): \(output)\(errors)"
    }
}

/// A program of a test ended with another status than 0.
package struct ProgramFailure: Error, CustomStringConvertible {
    package let answer: ProgramAnswer
    package var description: String { answer.description }

    package init(answer: ProgramAnswer) { self.answer = answer }
}

/// Threads for what blocks in tests: a file on a disk that its daemon does not serve must not hold the cooperative
/// pool, which has as many threads as the machine has processors.
private final class BlockingExecutor: TaskExecutor {
    static let shared = BlockingExecutor()
    private let threads = BlockingThreads(name: "test-blocking", count: 24)

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        threads.submit { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Runs a body that blocks, on a thread that may, and still as part of the test: expectations in it count for the test.
package func blocking<Answer: Sendable>(
    _ body: @escaping @Sendable () throws -> Answer
) async throws -> Answer {
    try await withTaskExecutorPreference(BlockingExecutor.shared) { try body() }
}

/// Runs a program, on the calling thread.
///
/// - Parameter timeoutSeconds: after that, the program is killed and this throws.
package func runProgramBlocking(_ arguments: [String], timeoutSeconds: Int = 120) throws -> ProgramAnswer {
    let errors = FileManager.default.temporaryDirectory
        .appendingPathComponent("vdrive-test-errors-\(UInt64.random(in: .min ... .max))")
    defer { try? FileManager.default.removeItem(at: errors) }
    let result = try Subprocess.runBlocking(
        ["/bin/sh", "-c", #"exec "$@" 2>"$0""#, errors.path] + arguments,
        timeoutSeconds: timeoutSeconds
    )
    return ProgramAnswer(
        arguments: arguments,
        status: result.status,
        output: result.output,
        errors: (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
    )
}

/// Runs a program without blocking the caller's thread.
package func runProgram(_ arguments: [String], timeoutSeconds: Int = 120) async throws -> ProgramAnswer {
    try await blocking { try runProgramBlocking(arguments, timeoutSeconds: timeoutSeconds) }
}

/// Runs a program that must succeed.
///
/// - Returns: its standard output.
@discardableResult
package func mustRun(_ arguments: [String], timeoutSeconds: Int = 120) async throws -> String {
    let answer = try await runProgram(arguments, timeoutSeconds: timeoutSeconds)
    guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
    return answer.output
}
