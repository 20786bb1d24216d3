internal import Glibc
internal import Synchronization
internal import VDriveMeasure
package import VDriveModel

/// What a FUSE thread could not answer by itself.
package struct Request: ~Copyable, Sendable {
    package enum Operation: Sendable {
        /// Bytes of the disk, inside it.
        case read(offset: UInt64, count: Int)
        /// `buffer` holds the bytes.
        case write(offset: UInt64, count: Int, buffer: PooledBuffer)
        /// Make durable everything whose write was answered before.
        case flush
        /// A descriptor was closed: make durable here what was written. Unlike `flush`, this asks nothing of the
        /// remote: a program that only read would hang in its close while the remote is away.
        case close
        /// Make a range zeros and give its space back.
        case deallocate(offset: UInt64, count: UInt64)
        /// SEEK_DATA or SEEK_HOLE.
        case seek(offset: UInt64, data: Bool)
        /// A marked chunk was read for the first time; nobody waits for an answer.
        case reached(ChunkIndex)

        /// Whether it changes the disk's bytes.
        package var isChange: Bool {
            switch self {
            case .write, .deallocate: true
            case .read, .flush, .close, .seek, .reached: false
            }
        }
    }

    package let operation: Operation
    /// When the kernel's request came, on `MonotonicTime`.
    package let start: UInt64
    private let reply: ReplyHandle

    package init(
        _ operation: Operation,
        reply: consuming ReplyHandle,
        since start: UInt64 = MonotonicTime.nanoseconds
    ) {
        self.operation = operation
        self.start = start
        self.reply = reply
    }

    /// The duty to answer, which is all that is left to do once the operation is read.
    package consuming func intoReply() -> ReplyHandle { reply }
}

/// The bridge from FUSE threads to tasks: bounded, lock-free, many producers.
///
/// When it is full, `submit` waits (its thread blocks) until a task took a request: nothing is ever dropped. The one
/// pump waits with `ready()`; the tasks that it starts take the requests themselves, because a move-only request cannot
/// be captured by a task's closure.
package final class RequestRing: Sendable {
    private let queue: BoundedQueue<Request>
    private let submitted = Atomic<Int>(0)
    private let sleeping = Atomic<Bool>(false)
    private let sleeper = Mutex<CheckedContinuation<Void, Never>?>(nil)
    private let closed = Atomic<Bool>(false)
    private let room = WaitPoint()

    /// - Parameter capacity: requests, a power of two.
    package init(capacity: Int) { queue = BoundedQueue(capacity: capacity) }

    /// Hands a request over; from any thread that may block, never from a task.
    package func submit(_ request: consuming Request) {
        var pending: Request? = request
        let _: Bool = room.wait {
            guard let next = pending.take() else { return true }
            pending = queue.push(next)
            return pending == nil ? true : nil
        }
        submitted.add(1, ordering: .sequentiallyConsistent)
        wakeIfSleeping()
    }

    /// Says that a marked chunk was read. Never waits: in a full ring the word is dropped, which only costs read-ahead.
    @usableFromInline func advise(_ chunk: ChunkIndex) {
        if let refused = queue.push(Request(.reached(chunk), reply: ReplyHandle.nobody())) {
            refused.intoReply().error(0)
            return
        }
        submitted.add(1, ordering: .sequentiallyConsistent)
        wakeIfSleeping()
    }

    /// Takes one request for each unit that `ready` returned.
    ///
    /// A unit stands for a push that is complete, but the queue's first cell may belong to a producer that was
    /// preempted inside its push; that one is waited for.
    package func take() -> Request {
        while true {
            if let request = queue.pop() {
                room.signal()
                return request
            }
            sched_yield()
        }
    }

    /// Waits until requests are there. For the one pump.
    ///
    /// - Returns: how many more were submitted since the last call; 0 once the ring is closed and all were counted.
    package func ready() async -> Int {
        while true {
            let count = submitted.exchange(0, ordering: .sequentiallyConsistent)
            if count > 0 { return count }
            if closed.load(ordering: .sequentiallyConsistent) { return 0 }
            await withCheckedContinuation { continuation in
                sleeper.withLock { $0 = continuation }
                sleeping.store(true, ordering: .sequentiallyConsistent)
                let late = submitted.load(ordering: .sequentiallyConsistent) > 0
                if late || closed.load(ordering: .sequentiallyConsistent) { wakeIfSleeping() }
            }
        }
    }

    private func wakeIfSleeping() {
        guard sleeping.exchange(false, ordering: .sequentiallyConsistent) else { return }
        sleeper.withLock { $0.take() }?.resume()
    }

    /// Ends the pump once it has counted what was submitted. Nothing may be submitted afterwards.
    package func close() {
        closed.store(true, ordering: .sequentiallyConsistent)
        wakeIfSleeping()
    }
}
