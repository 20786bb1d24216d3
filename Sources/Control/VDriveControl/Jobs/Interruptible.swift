import VDriveProtocol

/// Runs a body whose task is cancelled as soon as a signal's stream ends.
///
/// - Parameters:
///   - signal: finished by whoever wants the end.
///   - ending: the failure of a body that gave no result.
///   - body: ends soon when its task is cancelled.
func interruptible<Value: Sendable>(
    by signal: AsyncStream<Never>,
    ending: RPCError,
    _ body: @escaping @Sendable () async throws(RPCError) -> Value
) async -> Result<Value, RPCError> {
    await withTaskGroup(of: Result<Value, RPCError>?.self) { group in
        group.addTask {
            do throws(RPCError) { return .success(try await body()) } catch { return .failure(error) }
        }
        group.addTask {
            for await _ in signal {}
            return nil
        }
        var result: Result<Value, RPCError>?
        while let next = await group.next() {
            if let next { result = next }
            group.cancelAll()
        }
        return result ?? .failure(ending)
    }
}
