internal import CLinux
import Glibc

/// A POSIX thread with a name, on which all signals are blocked, so that they go to the threads that wait for them.
package struct NamedThread: Sendable {
    /// Enough for LMDB, libblkid and actor jobs; only what is touched costs memory.
    private static let stackBytes = 2 << 20

    /// The `pthread_t`.
    private let handle: UInt64

    /// Starts a thread. It must be joined or detached.
    ///
    /// - Parameter name: what `top -H` shows; the kernel keeps the first 15 bytes.
    package static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> NamedThread {
        let body = Unmanaged.passRetained(Body(run: body))
        var handle: UInt64 = 0
        let answer = CLinux_start_thread(name, stackBytes, runThread, body.toOpaque(), &handle)
        // Without threads there is no daemon, and nobody could do anything but stop.
        precondition(answer == 0, "the thread \(name) cannot start: \(Errno(rawValue: -answer))")
        return NamedThread(handle: handle)
    }

    /// Waits until the thread's body has returned. Once only, and never from the thread itself.
    package func join() {
        CLinux_join_thread(handle)
    }

    /// Lets the thread end by itself.
    package func detach() {
        CLinux_detach_thread(handle)
    }

    /// Whether this is the calling thread.
    package var isCurrent: Bool { handle == Self.currentHandle }

    static var currentHandle: UInt64 { CLinux_current_thread() }
}

private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
}

private func runThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
    return nil
}

/// A mutex and a condition that belongs to it.
// SAFETY: both live at fixed addresses of their own for as long as the object does, and POSIX makes them thread-safe.
final class Monitor: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func withLock<Answer: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Answer
    ) throws(Failure) -> Answer {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Only inside `withLock`; may return without a signal.
    func wait() { pthread_cond_wait(condition, mutex) }
    func signal() { pthread_cond_signal(condition) }
    func broadcast() { pthread_cond_broadcast(condition) }
}

/// A first-in, first-out queue in an array used as a ring: no allocation until it is fuller than ever before.
struct ArrayQueue<Element> {
    private var slots: [Element?]
    private var head = 0
    private(set) var count = 0

    /// - Parameter capacity: slots made in advance; the queue doubles when they do not suffice.
    init(capacity: Int) {
        precondition(capacity > 0, "a queue of \(capacity) slots")
        slots = Array(repeating: nil, count: capacity)
    }

    mutating func append(_ element: Element) {
        if count == slots.count {
            slots = slots[head...] + slots[..<head] + Array(repeating: nil, count: count)
            head = 0
        }
        slots[(head + count) % slots.count] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head]
        slots[head] = nil
        head = (head + 1) % slots.count
        count -= 1
        return element
    }
}
