package import VDriveProtocol

/// A running job, as the method's body has it: to tell how far it has come, and to say where it may be cancelled.
/// Any thread may use it.
package struct JobHandle: Sendable {
    package let id: String
    let registry: JobRegistry

    /// What the call that was cancelled is answered with.
    static let cancelled = RPCError(.refused, "The job was cancelled before its end.")

    /// Tells how far the job has come; what is left out stays as it is. It may be called as often as is convenient:
    /// what is announced is bounded.
    package func report(
        phase: String? = nil,
        done: UInt64? = nil,
        of total: UInt64? = nil,
        _ unit: JobUnit? = nil
    ) {
        registry.report(id, JobTable.Report(phase: phase, done: done, total: total, unit: unit))
    }

    /// Tells the disk that the job is about, once it is known; from then on its events are that disk's.
    package func belong(to disk: String) { registry.belong(id, to: disk) }

    /// Whether somebody has asked the job to end.
    package var isAsked: Bool { registry.isAsked(id) }

    /// From now on the job may be cancelled: its body looks at `isAsked`, or calls `settle`.
    package func allowCancelling() { _ = registry.allowCancelling(id, true, nil) }

    /// From now on the job cannot be cancelled.
    ///
    /// - Returns: false when it was asked to end before: then it must not go on.
    package func settle() -> Bool { !registry.allowCancelling(id, false, nil) }

    /// Runs what may be cancelled: its task is, as soon as somebody asks for it.
    ///
    /// - Parameter body: ends soon when its task is cancelled, and leaves nothing half done.
    /// - Throws: what the body throws; `refused` in its place when the job was cancelled.
    package func cancellable<Value: Sendable>(
        _ body: @escaping @Sendable () async throws(RPCError) -> Value
    ) async throws(RPCError) -> Value {
        let (signal, source) = AsyncStream.makeStream(of: Never.self)
        if registry.allowCancelling(id, true, source) { throw Self.cancelled }
        let result = await interruptible(by: signal, ending: Self.cancelled, body)
        let isAsked = !settle()
        if isAsked, case .failure = result { throw Self.cancelled }
        return try result.get()
    }
}
