import Synchronization

/// Bounds the calls of one connection that run at the same time; its reader waits while all places are taken.
final class CallGate: Sendable {
    private struct State {
        var free: Int
        var reader: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>

    init(places: Int) {
        state = Mutex(State(free: places))
    }

    /// Takes a place. Only the connection's one reader calls this.
    func enter() async {
        await withCheckedContinuation { continuation in
            let mayEnter = state.withLock { state in
                guard state.free == 0 else {
                    state.free -= 1
                    return true
                }
                precondition(state.reader == nil, "a connection has one reader")
                state.reader = continuation
                return false
            }
            if mayEnter { continuation.resume() }
        }
    }

    /// Gives a place back, from any task; the place goes straight to the reader where it waits.
    func leave() {
        let reader = state.withLock { state in
            guard let reader = state.reader else {
                state.free += 1
                return CheckedContinuation<Void, Never>?.none
            }
            state.reader = nil
            return reader
        }
        reader?.resume()
    }
}
