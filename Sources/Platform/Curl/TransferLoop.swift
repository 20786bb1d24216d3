internal import CCurl
internal import Glibc
internal import Synchronization

/// Performs HTTP requests on one thread of its own, over connections that are kept alive.
///
/// Notes on the design
///
///     perform() ──▶ inbox (mutex) ──wake-up──▶ thread: LoopState.waiting ──▶ active ──▶ continuation resumed
///
/// - The thread owns libcurl's multi handle and every easy handle. Other threads put transfers into the inbox and call
///   `curl_multi_wakeup`, the one function of a multi handle that any thread may call at any time.
/// - A transfer is resumed exactly once, by the thread: with an answer, an error, or because it was cancelled.
/// - The multi handle lives until the last reference to `LoopThread` goes, so that no wake-up can meet a freed one.
/// - Not done: sharing between processes, cookies, caches, content encodings.
package final class TransferLoop: Sendable {
    private let thread: LoopThread

    /// Starts the thread. It ends when the loop is closed or forgotten.
    package init(limits: ConnectionLimits = ConnectionLimits()) {
        _ = globalState
        thread = LoopThread(limits: limits)
        thread.start()
    }

    deinit { thread.close() }

    /// Ends the thread; what is under way or waiting fails with `closed`.
    package func close() { thread.close() }

    /// Performs a request. Any number may run at the same time, from any task.
    ///
    /// - Returns: the server's answer, whatever its status.
    /// - Throws: `CurlError` when there is no complete answer; `cancelled` soon after the task was cancelled, when the
    ///   server may have acted all the same.
    package func perform(_ request: HTTPRequest) async throws(CurlError) -> HTTPResponse {
        let transfer = Transfer(request)
        let thread = thread
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                transfer.continuation = continuation
                thread.submit(transfer)
            }
        } onCancel: {
            thread.cancel(transfer)
        }.get()
    }
}

/// `curl_global_init` is to be called once, before anything else of libcurl.
private let globalState: CURLcode = {
    let code = curl_global_init(CCurl_global_default)
    precondition(code == CURLE_OK, "libcurl does not start: \(code)")
    return code
}()

/// For `top -H`; the kernel's file, because prctl is variadic.
private func nameThread(_ name: String) {
    let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    _ = write(file, name, name.utf8.count)
    close(file)
}

/// The thread and the inbox that leads to it.
final class LoopThread: Sendable {
    private struct Inbox {
        var added: [Transfer] = []
        var cancelled: [Transfer] = []
        var isClosed = false
    }

    /// How long the thread sleeps when nothing happens at all; libcurl's own timers wake it earlier.
    private static let idleMilliseconds: Int32 = 60_000

    // SAFETY: off the thread it is used for curl_multi_wakeup alone, which is thread-safe, and it is freed in deinit.
    private nonisolated(unsafe) let multi: UnsafeMutableRawPointer
    private let limits: ConnectionLimits
    private let inbox = Mutex(Inbox())

    init(limits: ConnectionLimits) {
        guard let multi = curl_multi_init() else { preconditionFailure("no memory for libcurl's multi handle") }
        self.multi = multi
        self.limits = limits
        CCurl_multi_setopt_long(multi, CURLMOPT_MAXCONNECTS, limits.total)
    }

    deinit { curl_multi_cleanup(multi) }

    /// Every signal is blocked in the thread: signals are the main thread's business.
    func start() {
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let result = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                // SAFETY: balances the passRetained of start(); the thread holds this reference until it ends.
                let loop = Unmanaged<LoopThread>.fromOpaque(argument).takeRetainedValue()
                nameThread("vdrive-curl")
                loop.run()
                return nil
            },
            Unmanaged.passRetained(self).toOpaque()
        )
        precondition(result == 0, "no thread for libcurl: errno \(result)")
        pthread_detach(thread)
    }

    func submit(_ transfer: Transfer) {
        let isClosed = inbox.withLock { inbox in
            if !inbox.isClosed { inbox.added.append(transfer) }
            return inbox.isClosed
        }
        if isClosed { transfer.finish(.failure(.loopClosed)) } else { curl_multi_wakeup(multi) }
    }

    func cancel(_ transfer: Transfer) {
        transfer.isCancelled.store(true, ordering: .releasing)
        inbox.withLock { $0.cancelled.append(transfer) }
        curl_multi_wakeup(multi)
    }

    func close() {
        inbox.withLock { $0.isClosed = true }
        curl_multi_wakeup(multi)
    }

    private func run() {
        var state = LoopState(multi: multi, limits: limits)
        while true {
            let work = inbox.withLock { inbox in
                let work = inbox
                inbox.added.removeAll()
                inbox.cancelled.removeAll()
                return work
            }
            if work.isClosed {
                state.close(alsoFailing: work.added)
                return
            }
            state.add(work.added)
            for transfer in work.cancelled { state.cancel(transfer) }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            state.finishCompleted()
            curl_multi_poll(multi, nil, 0, Self.idleMilliseconds, nil)
        }
    }
}

extension CurlError {
    static let loopClosed = CurlError(.closed, "The connection pool is closed.", mayHaveArrived: false)
    static func cancelled(mayHaveArrived: Bool) -> CurlError {
        CurlError(.cancelled, "The request was cancelled.", mayHaveArrived: mayHaveArrived)
    }
}
