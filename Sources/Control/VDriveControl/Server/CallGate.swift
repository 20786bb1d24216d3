import Synchronization

/// Bounds the calls of one connection that run at the same time, and puts their answers in a row.
///
///     enter ──▶ runs ──finish──▶ waits to be written ──written──▶ place free
///
/// A call keeps its place until its answer is written, so a client that does not read soon has no place left, and its
/// reader waits. One call at a time writes, for all that have finished by then: many answers make one write.
final class CallGate: Sendable {
    /// A call that has come to its end.
    struct Finished: Sendable {
        let answer: Answer
        /// Who made it, and is told when the answer is written.
        let caller: Caller?
    }

    private struct State {
        var free: Int
        var reader: CheckedContinuation<Void, Never>?
        var finished: [Finished] = []
        var isWriting = false
        /// Nothing can be written any more: nobody waits.
        var isClosed = false
    }

    private let state: Mutex<State>

    init(places: Int) {
        state = Mutex(State(free: places))
    }

    /// Takes a place. Only the connection's one reader calls this.
    func enter() async {
        // Most often there is one, and nothing to wait for.
        if state.withLock({ Self.take(&$0) }) { return }
        await withCheckedContinuation { continuation in
            let mayEnter = state.withLock { state in
                if Self.take(&state) { return true }
                precondition(state.reader == nil, "a connection has one reader")
                state.reader = continuation
                return false
            }
            if mayEnter { continuation.resume() }
        }
    }

    private static func take(_ state: inout State) -> Bool {
        guard state.free > 0 || state.isClosed else { return false }
        state.free -= 1
        return true
    }

    /// Gives places back, from any task; the first goes straight to the reader where it waits.
    func leave(_ count: Int = 1) {
        letReaderIn { $0.free += count }
    }

    /// The connection is lost: its reader may go on to find that out, and what is finished is nobody's.
    func close() {
        letReaderIn { state in
            state.isClosed = true
            state.finished = []
        }
    }

    private func letReaderIn(_ change: (inout State) -> Void) {
        let reader = state.withLock { state in
            change(&state)
            guard let reader = state.reader, Self.take(&state) else { return CheckedContinuation<Void, Never>?.none }
            state.reader = nil
            return reader
        }
        reader?.resume()
    }

    /// A call's answer is there; its place is given back when it is written.
    ///
    /// - Returns: whether the caller is to write, until `next` gives nothing more.
    func finish(_ answer: Answer, to caller: Caller?) -> Bool {
        state.withLock { state in
            if state.isClosed { return false }
            state.finished.append(Finished(answer: answer, caller: caller))
            defer { state.isWriting = true }
            return !state.isWriting
        }
    }

    /// The answers to be written next, in the order in which they came; none when somebody else is to write again.
    func next() -> [Finished] {
        state.withLock { state in
            let answers = state.finished
            state.finished = []
            state.isWriting = !answers.isEmpty
            return answers
        }
    }
}
