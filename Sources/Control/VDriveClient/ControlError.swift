package import VDriveProtocol

/// Why a call from a client did not come to its result.
package enum ControlError: Error, Sendable, CustomStringConvertible {
    /// Nobody listens on the socket, or we may not connect.
    case notReachable(String)
    /// The daemon went away, or closed the connection, before it answered.
    case disconnected(String)
    /// What came back is not our protocol.
    case notUnderstood(String)
    /// The daemon answered with an error.
    case rpc(RPCError)

    /// One sentence for people.
    package var description: String {
        switch self {
        case .notReachable(let text), .disconnected(let text), .notUnderstood(let text): text
        case .rpc(let error): error.message
        }
    }
}
