import Synchronization

/// What goes through the control socket. Any thread.
final class ControlTraffic: Sendable {
    struct Totals: Sendable {
        /// Now.
        var connections = 0
        var connectionsAccepted: UInt64 = 0
        /// Calls that ended, notifications too.
        var calls: UInt64 = 0
        /// Of these, the ones that failed.
        var callsFailed: UInt64 = 0
    }

    private let current = Mutex(Totals())

    var totals: Totals { current.withLock { $0 } }

    func noteConnection() {
        current.withLock {
            $0.connections += 1
            $0.connectionsAccepted += 1
        }
    }

    func noteDisconnection() { current.withLock { $0.connections -= 1 } }

    func noteCall(hasFailed: Bool) {
        current.withLock {
            $0.calls += 1
            if hasFailed { $0.callsFailed += 1 }
        }
    }
}
