internal import DequeModule
internal import VDriveModel

/// Which chunks somebody changes the state of, and who waits for them. A value inside CacheActor, no lock of its own.
struct ChunkLocks {
    private var held: [ChunkIndex: Deque<CheckedContinuation<Void, Never>>] = [:]

    var isEmpty: Bool { held.isEmpty }

    func isHeld(_ chunk: ChunkIndex) -> Bool { held[chunk] != nil }

    /// - Returns: whether the lock is the caller's now.
    mutating func tryAcquire(_ chunk: ChunkIndex) -> Bool {
        guard held[chunk] == nil else { return false }
        held[chunk] = []
        return true
    }

    /// Queues behind the holder; the continuation is resumed as the new holder.
    mutating func wait(_ chunk: ChunkIndex, _ continuation: CheckedContinuation<Void, Never>) {
        held[chunk]!.append(continuation)
    }

    mutating func release(_ chunk: ChunkIndex) {
        precondition(held[chunk] != nil, "\(chunk) is not locked")
        if let next = held[chunk]!.popFirst() { next.resume() } else { held[chunk] = nil }
    }
}

/// A lock that a task may hold over its awaits; first come, first served. A value inside an actor.
struct AsyncLock {
    private var isHeld = false
    private var waiters: Deque<CheckedContinuation<Void, Never>> = []

    mutating func tryAcquire() -> Bool {
        guard !isHeld else { return false }
        isHeld = true
        return true
    }

    mutating func wait(_ continuation: CheckedContinuation<Void, Never>) { waiters.append(continuation) }

    mutating func release() {
        precondition(isHeld, "the lock is not held")
        if let next = waiters.popFirst() { next.resume() } else { isHeld = false }
    }
}
