import FoundationEssentials
import Linux
import Synchronization

/// Asks about files of one mounted disk, each question in a process of its own.
///
/// ## Notes on the design
///
///     asking ──pause──▶ paused: nothing runs, and nothing starts ──resume──▶ asking
///
/// A process has files of the disk open. `pause` ends them all, so that an unmount is not refused because of them. A
/// process that waits in the kernel ends when the disk has answered it: a read with bytes or with an error, at the
/// latest after the disk's read deadline, and what is written out when the cache has room for it. Who asked is not kept
/// waiting by that when its task is cancelled.
package final class PathAsker: Sendable {
    package struct Resolved: Sendable {
        /// Sorted, none touching another.
        package var ranges: [Range<UInt64>] = []
        package var summary = PathAnswer.Summary()
    }

    private struct State {
        var isPaused = false
        var running: [UInt64: Conversation] = [:]
        var last: UInt64 = 0
    }

    package let mountPoint: String
    private let devicePath: String
    private let filesystem: Filesystem
    private let program: [String]
    private let state = Mutex(State())

    /// - Parameter program: what becomes the process, with its arguments; it must call `PathProcess.main`.
    package init(
        mountPoint: String,
        device: LoopDevice,
        filesystem: Filesystem,
        program: [String] = ["/proc/self/exe", PathProcess.argument]
    ) {
        self.mountPoint = mountPoint
        devicePath = device.devicePath
        self.filesystem = filesystem
        self.program = program
    }

    /// Where the files of targets lie, target by target.
    ///
    /// - Parameters:
    ///   - writingOut: what is written first of what the filesystem holds in memory.
    ///   - progress: how far the target in work is, a few times a second, on another thread.
    /// - Throws: also when the task is cancelled. Why one of several targets cannot be told is in its summary.
    package func resolve(
        _ targets: [PathQuestion.Target],
        writingOut: PathQuestion.WriteOut = .unplaced,
        progress: @escaping @Sendable (PathAnswer.Progress) -> Void = { _ in }
    ) async throws(PathAnswer.Failure) -> [Resolved] {
        var question = question(targets, page: nil)
        question.writesOut = writingOut
        return try await ask(question) { (conversation) throws(PathAnswer.Failure) in
            var resolved: [Resolved] = []
            var current = Resolved()
            while resolved.count < targets.count {
                switch try conversation.next() {
                case .progress(let made): progress(made)
                case .ranges(let numbers): current.ranges += numbers.asRanges
                case .target(let summary):
                    current.summary = summary
                    resolved.append(current)
                    current = Resolved()
                case .failure(let failure): throw failure
                case .entry, .pageEnd: throw Conversation.ended
                }
            }
            return resolved
        }
    }

    /// The next files and directories of targets, and the token for those that follow. Nothing is written out.
    package func list(
        _ targets: [PathQuestion.Target],
        page: PathQuestion.Page
    ) async throws(PathAnswer.Failure) -> (entries: [PathAnswer.Entry], token: String?) {
        var question = question(targets, page: page)
        question.writesOut = .nothing
        return try await ask(question) { (conversation) throws(PathAnswer.Failure) in
            var entries: [PathAnswer.Entry] = []
            while true {
                switch try conversation.next() {
                case .entry(let entry): entries.append(entry)
                case .pageEnd(let token): return (entries, token)
                case .failure(let failure): throw failure
                case .progress: continue
                case .ranges, .target: throw Conversation.ended
                }
            }
        }
    }

    private func question(_ targets: [PathQuestion.Target], page: PathQuestion.Page?) -> PathQuestion {
        PathQuestion(
            targets: targets,
            mountPoint: mountPoint,
            devicePath: devicePath,
            filesystem: filesystem,
            page: page
        )
    }

    // MARK: Before an unmount

    /// Ends all questions, and refuses new ones.
    ///
    /// - Parameters:
    ///   - patience: how long to wait for a process that hangs in the kernel.
    ///   - isHurried: asked now and then; yes ends the wait.
    /// - Returns: whether all have ended.
    @discardableResult
    package func pause(patience: Duration, unless isHurried: () async -> Bool = { false }) async -> Bool {
        let running = state.withLock { state in
            state.isPaused = true
            return Array(state.running.values)
        }
        for conversation in running { conversation.kill() }
        let deadline = ContinuousClock.now + patience
        while state.withLock({ !$0.running.isEmpty }) {
            guard ContinuousClock.now < deadline, await !isHurried() else { return false }
            // A cancelled task still has to wait: the processes are not gone.
            await Task { try? await Task.sleep(for: .milliseconds(10)) }.value
        }
        return true
    }

    package func resume() { state.withLock { $0.isPaused = false } }

    // MARK: One question

    private func ask<Answer: Sendable>(
        _ question: PathQuestion,
        _ listen: @escaping @Sendable (Conversation) throws(PathAnswer.Failure) -> Answer
    ) async throws(PathAnswer.Failure) -> Answer {
        let conversation = Conversation()
        let number = state.withLock { state -> UInt64? in
            guard !state.isPaused else { return nil }
            state.last += 1
            state.running[state.last] = conversation
            return state.last
        }
        guard let number else {
            throw PathAnswer.Failure(kind: .busy, message: "The disk at \(mountPoint) is being detached.")
        }
        let program = program
        let (results, source) = AsyncStream.makeStream(
            of: Result<Answer, PathAnswer.Failure>.self,
            bufferingPolicy: .bufferingOldest(1)
        )
        // A thread of its own for each: a walk may take hours, and must keep nobody from a detach.
        NamedThread.start("vdrive-paths") {
            let result: Result<Answer, PathAnswer.Failure>
            do throws(PathAnswer.Failure) {
                try conversation.start(program, question)
                result = .success(try listen(conversation))
            } catch {
                result = .failure(error)
            }
            conversation.finish()
            self.state.withLock { $0.running[number] = nil }
            source.yield(result)
            source.finish()
        }.detach()
        let result = await withTaskCancellationHandler {
            // In a cancelled task it ends at once, also when the process hangs in the kernel.
            await results.first { _ in true } ?? .failure(Conversation.killed)
        } onCancel: {
            conversation.kill()
        }
        return try result.get()
    }
}

/// One question and its answers.
private final class Conversation: Sendable {
    private struct State {
        var process: PipedProcess?
        var isKilled = false
    }

    private let state = Mutex(State())

    static let ended = PathAnswer.Failure(
        kind: .failed,
        message: "The process that looks for files has ended before its work was done; the daemon's log may say why."
    )
    static let killed = PathAnswer.Failure(kind: .busy, message: "The search for files was ended.")

    func start(_ program: [String], _ question: PathQuestion) throws(PathAnswer.Failure) {
        do throws(Errno) {
            // Swift's runtime would start the program anew to be without it.
            let process = try PipedProcess(program, environment: ["SWIFT_BACKTRACE=enable=no"])
            let isKilled = state.withLock { state in
                state.process = process
                return state.isKilled
            }
            if isKilled { process.kill() }
            guard let text = try? JSONEncoder().encode(question) else { throw Errno.invalidArgument }
            try process.ask(text)
        } catch {
            throw state.withLock { $0.isKilled }
                ? Self.killed
                : PathAnswer.Failure(kind: .failed, message: "The search for files cannot be started: \(error).")
        }
    }

    func next() throws(PathAnswer.Failure) -> PathAnswer {
        let process = state.withLock { $0.process }
        guard let line = try? process?.nextLine(),
            let answer = try? JSONDecoder().decode(PathAnswer.self, from: Data(line))
        else { throw state.withLock { $0.isKilled } ? Self.killed : Self.ended }
        return answer
    }

    func kill() {
        let process = state.withLock { state in
            state.isKilled = true
            return state.process
        }
        process?.kill()
    }

    /// Waits for the process's end.
    func finish() {
        guard let process = state.withLock({ $0.process }) else { return }
        process.kill()
        while !process.waitForEnd(seconds: 60) {}
    }
}
