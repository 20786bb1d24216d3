/// One thread that runs an actor's jobs: for actors whose work blocks (LMDB, fdatasync).
///
/// An actor names it in `nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }`
/// and holds it strongly. Jobs are kept as they are in a ring made in advance, so queueing one allocates nothing.
///
///     running ──stop()──▶ stopped ──late job──▶ draining ──queue empty──▶ stopped
///
/// After `stop` a late job still runs, on a thread that is started for it and ends with the queue: an await that a
/// shutdown overtook never hangs, and the jobs of the actor still run one at a time.
// SAFETY: `queue`, `state` and `runner` are touched only under `monitor`; jobs are run by one thread at a time.
package final class ThreadExecutor: SerialExecutor, @unchecked Sendable {
    private enum State { case running, stopped, draining }

    private let name: String
    private let monitor = Monitor()
    private var queue: ArrayQueue<UnownedJob>
    private var state = State.running
    /// The thread that runs jobs now.
    private var runner: UInt64?
    private var thread: NamedThread?

    /// - Parameters:
    ///   - name: the kernel keeps the first 15 bytes.
    ///   - capacity: jobs that can wait without an allocation.
    package init(name: String, capacity: Int = 256) {
        self.name = name
        queue = ArrayQueue(capacity: capacity)
        let thread = NamedThread.start(name) { self.work(until: .stopped) }
        monitor.withLock { self.thread = thread }
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = monitor.withLock {
            queue.append(job)
            guard state == .stopped, thread == nil else {
                monitor.signal()
                return false
            }
            state = .draining
            return true
        }
        if needsThread { NamedThread.start(name) { self.work(until: .draining) }.detach() }
    }

    /// Runs all jobs that are queued, ends the thread and waits for it. A second call returns at once.
    ///
    /// Blocks; must not be called from a job on this executor.
    package func stop() {
        let joined: NamedThread? = monitor.withLock {
            guard state == .running else { return nil }
            state = .stopped
            monitor.broadcast()
            return thread
        }
        guard let joined else { return }
        precondition(!joined.isCurrent, "\(name) cannot stop itself")
        joined.join()
        let isLate = monitor.withLock {
            thread = nil
            // A job that came while the thread was on its way out.
            guard queue.count > 0 else { return false }
            state = .draining
            return true
        }
        if isLate { NamedThread.start(name) { self.work(until: .draining) }.detach() }
    }

    /// Whether the calling thread is the one that runs this executor's jobs now.
    package var isCurrent: Bool {
        monitor.withLock { runner == NamedThread.currentHandle }
    }

    package func checkIsolated() {
        precondition(isCurrent, "not on the thread \(name)")
    }

    package func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// - Parameter last: the state in which an empty queue ends the thread.
    private func work(until last: State) {
        monitor.withLock { runner = NamedThread.currentHandle }
        while let job = next(until: last) { job.runSynchronously(on: asUnownedSerialExecutor()) }
    }

    private func next(until last: State) -> UnownedJob? {
        monitor.withLock {
            while true {
                if let job = queue.popFirst() { return job }
                if state == last {
                    runner = nil
                    state = .stopped
                    return nil
                }
                monitor.wait()
            }
        }
    }
}
