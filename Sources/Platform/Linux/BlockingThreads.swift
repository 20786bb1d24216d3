/// A few threads of their own for calls that block, so that Swift's cooperative pool never waits for a disk.
///
/// Calls are run in the order in which they came, as many at the same time as there are threads. Cancelling the task
/// that waits does not stop a call, since the kernel would not.
///
///     open ──shutdown()──▶ closed: what was queued has run, the threads are gone; a late call gets a thread of its own
///
/// A continuation is therefore always resumed, exactly once, also when a shutdown overtakes a call.
// SAFETY: `queue` and `isClosed` are touched only under `monitor`; `threads` only by init and by the one `shutdown`
// that turned `isClosed`.
package final class BlockingThreads: @unchecked Sendable {
    private let name: String
    private let monitor = Monitor()
    private var queue = ArrayQueue<@Sendable () -> Void>(capacity: 64)
    private var isClosed = false
    private var threads: [NamedThread] = []

    /// - Parameters:
    ///   - name: the threads are called `name-0`, `name-1` and so on; the kernel keeps 15 bytes.
    ///   - count: 1 or more.
    package init(name: String, count: Int) {
        precondition(count > 0, "\(count) threads")
        self.name = name
        // The threads hold on to this object until shutdown: dropping it without one is a leak, never a crash.
        threads = (0..<count).map { number in NamedThread.start("\(name)-\(number)") { self.work() } }
    }

    /// Runs a body that may block on one of the threads, and waits for it without blocking the caller's thread.
    ///
    /// - Throws: what the body throws.
    nonisolated(nonsending)
        package func run<Answer: Sendable, Failure: Error>(
            _ body: @escaping @Sendable () throws(Failure) -> Answer
        ) async throws(Failure) -> Answer
    {
        let result = await withCheckedContinuation { (waiting: CheckedContinuation<Result<Answer, Failure>, Never>) in
            submit {
                do throws(Failure) {
                    waiting.resume(returning: .success(try body()))
                } catch {
                    waiting.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// Runs a body on one of the threads; nobody waits for it.
    package func submit(_ body: @escaping @Sendable () -> Void) {
        let isQueued = monitor.withLock {
            guard !isClosed else { return false }
            queue.append(body)
            monitor.signal()
            return true
        }
        if !isQueued { NamedThread.start("\(name)-late", body).detach() }
    }

    /// Runs all that is queued, ends the threads and waits for them. A second call returns at once.
    ///
    /// Blocks; must not be called from one of the threads.
    package func shutdown() {
        let isFirst = monitor.withLock {
            defer { isClosed = true }
            monitor.broadcast()
            return !isClosed
        }
        guard isFirst else { return }
        for thread in threads { thread.join() }
    }

    private func work() {
        while let body = next() { body() }
    }

    private func next() -> (@Sendable () -> Void)? {
        monitor.withLock {
            while true {
                if let body = queue.popFirst() { return body }
                if isClosed { return nil }
                monitor.wait()
            }
        }
    }
}
