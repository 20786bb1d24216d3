import Synchronization
import VDriveProtocol

/// Who works with an attached disk beside its users: fetches, evictions, searches for files. They end before the disk
/// does.
///
///     open ──close──▶ closed: all are cancelled, and none begins ──(the last one ends)──▶ nobody is there
final class Steering: Sendable {
    private struct State {
        var isClosed = false
        var last: UInt64 = 0
        /// Finished to cancel.
        var running: [UInt64: AsyncStream<Never>.Continuation] = [:]
    }

    private let state = Mutex(State())

    /// Runs a body, which is cancelled when the disk goes.
    ///
    /// - Throws: what the body throws; `busy` when the disk goes, or goes already.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable () async throws(RPCError) -> Value
    ) async throws(RPCError) -> Value {
        let (signal, source) = AsyncStream.makeStream(of: Never.self)
        let number = state.withLock { state -> UInt64? in
            guard !state.isClosed else { return nil }
            state.last += 1
            state.running[state.last] = source
            return state.last
        }
        guard let number else { throw Self.goes }
        let result = await interruptible(by: signal, ending: Self.goes, body)
        let isClosed = state.withLock { state in
            state.running[number] = nil
            return state.isClosed
        }
        if isClosed, case .failure = result { throw Self.goes }
        return try result.get()
    }

    private static let goes = RPCError(.busy, "The disk is being detached.")

    /// Cancels all, and waits until they have ended.
    ///
    /// - Returns: false when some have not after so long.
    @discardableResult
    func close(patience: Duration) async -> Bool {
        let running = state.withLock { state in
            state.isClosed = true
            return Array(state.running.values)
        }
        for signal in running { signal.finish() }
        let deadline = ContinuousClock.now + patience
        while state.withLock({ !$0.running.isEmpty }) {
            guard ContinuousClock.now < deadline else { return false }
            // Also when this task is cancelled.
            await Task { try? await Task.sleep(for: .milliseconds(10)) }.value
        }
        return true
    }
}
