internal import Linux
internal import Synchronization

/// Where threads wait until something that was exhausted is there again. Never for tasks: it blocks.
package final class WaitPoint: @unchecked Sendable {
    // SAFETY: both words are only touched by atomics and by the futex call, which takes the address.
    private let changes: UnsafeMutablePointer<Atomic<UInt32>>
    private let waiters = Atomic<Int>(0)

    package init() {
        changes = .allocate(capacity: 1)
        changes.initialize(to: Atomic(0))
    }

    deinit { changes.deallocate() }

    private var address: UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(changes).assumingMemoryBound(to: UInt32.self)
    }

    /// Calls `attempt` until it gives a value, sleeping between the tries until `signal` is called.
    package func wait<Value: ~Copyable>(for attempt: () -> Value?) -> Value {
        while true {
            if let value = attempt() { return value }
            waiters.add(1, ordering: .sequentiallyConsistent)
            let seen = changes.pointee.load(ordering: .sequentiallyConsistent)
            let value = attempt()
            if value == nil {
                Futex.wait(address, expected: seen)
            }
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            if let value { return value }
        }
    }

    /// Wakes the waiting threads; costs one load when there are none.
    package func signal() {
        guard waiters.load(ordering: .sequentiallyConsistent) > 0 else { return }
        changes.pointee.add(1, ordering: .sequentiallyConsistent)
        Futex.wake(address)
    }
}
