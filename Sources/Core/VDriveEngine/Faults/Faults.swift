internal import Glibc
package import Linux
internal import Synchronization

/// The fault registry: always compiled, off unless armed, and then in the whole process.
///
/// A point that is not armed costs one relaxed load and does not suspend. Tests arm it in a process of its own (a real
/// daemon, by the environment variable VDRIVE_FAULTS): a crash must take everything along, and other tests must not
/// meet the faults.
package enum Faults {
    private static let isArmed = Atomic<Bool>(false)
    private static let plan = Mutex<FaultPlan?>(nil)

    /// Arms what a specification says (grammar: `FaultPlan`), in place of what was armed before.
    package static func arm(_ specification: String) throws(FaultSpecError) {
        let parsed = try FaultPlan(specification)
        plan.withLock { $0 = parsed }
        isArmed.store(true, ordering: .sequentiallyConsistent)
    }

    package static func disarm() {
        isArmed.store(false, ordering: .sequentiallyConsistent)
        plan.withLock { $0 = nil }
    }

    // MARK: Points

    /// Passes a point of a task: does what is armed there.
    ///
    /// - Returns: false when the step must fail.
    nonisolated(nonsending)
        package static func passes(_ point: FaultPoint) async -> Bool
    {
        guard isArmed.load(ordering: .relaxed) else { return true }
        var isWell = true
        for action in actions(at: point) {
            if case .delay(let milliseconds) = action {
                try? await Task.sleep(for: .milliseconds(milliseconds))
            } else if !perform(action) {
                isWell = false
            }
        }
        return isWell
    }

    /// Passes a point on a thread that may block.
    ///
    /// - Returns: false when the step must fail.
    package static func passesBlocking(_ point: FaultPoint) -> Bool {
        guard isArmed.load(ordering: .relaxed) else { return true }
        var isWell = true
        for action in actions(at: point) {
            if case .delay(let milliseconds) = action {
                usleep(UInt32(clamping: milliseconds * 1000))
            } else if !perform(action) {
                isWell = false
            }
        }
        return isWell
    }

    /// Passes a point of a step that fails with a `DiskError`.
    nonisolated(nonsending)
        package static func at(_ point: FaultPoint, failing kind: DiskError.Kind = .retry) async throws(DiskError)
    {
        guard await passes(point) else { throw DiskError(kind, "An I/O error was injected at \(point.rawValue).") }
    }

    /// Passes a point of a step that fails with an `Errno`, on a thread that may block.
    package static func atBlocking(_ point: FaultPoint) throws(Errno) {
        guard passesBlocking(point) else { throw .ioError }
    }

    /// What is to happen is said first, on stderr and not through a log: a crash leaves no time for one.
    private static func actions(at point: FaultPoint) -> [FaultPlan.Action] {
        let actions = plan.withLock { $0?.pass(point) ?? [] }
        for action in actions {
            let line = Array("fault \(point.rawValue): \(action)\n".utf8)
            line.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
        }
        return actions
    }

    /// - Returns: false for a failure.
    private static func perform(_ action: FaultPlan.Action) -> Bool {
        switch action {
        case .crash:
            kill(getpid(), SIGKILL)
            // The signal may reach another thread first; nothing more may happen on this one.
            while true { pause() }
        // To this thread: sent to the process, another one may take it, late, while this one goes on.
        case .stop: raise(SIGSTOP)
        case .fail: return false
        case .delay: break
        }
        return true
    }

    // MARK: Rules

    /// Whether an ordering rule is to be broken, so that a test can show that it notices.
    package static func breaks(_ rule: OrderingRule) -> Bool {
        guard isArmed.load(ordering: .relaxed) else { return false }
        return plan.withLock { $0?.brokenRules.contains(rule) ?? false }
    }
}
