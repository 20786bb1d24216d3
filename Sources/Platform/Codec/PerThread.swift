internal import Glibc

/// One object a thread, released when the thread ends.
///
/// A zstd context is worth keeping (160 KiB to a few MiB of memory, page faults included), and threads are few, while
/// tasks are many and wander between threads. So a context belongs to a thread, and no task keeps one over an `await`.
struct PerThread<Value: AnyObject>: Sendable {
    private let key: pthread_key_t

    init() {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { object in
            if let object { Unmanaged<AnyObject>.fromOpaque(object).release() }
        }
        precondition(status == 0, "pthread_key_create: \(status)")
        self.key = key
    }

    /// The calling thread's object.
    func value(orMake make: () -> Value) -> Value {
        // SAFETY: only this function stores under this key, always a retained Value.
        if let known = pthread_getspecific(key) { return Unmanaged<Value>.fromOpaque(known).takeUnretainedValue() }
        let value = make()
        let status = pthread_setspecific(key, Unmanaged.passRetained(value).toOpaque())
        precondition(status == 0, "pthread_setspecific: \(status)")
        return value
    }
}
