import Glibc
package import VDriveProtocol

/// A connection to the daemon for one call at a time. Calls block the thread until the daemon answers. After a
/// subscription, its notifications are kept in their order, also those that come while a call waits.
///
/// It knows sockets, lines and JSON, and links nothing of the engine.
package struct ControlConnection: ~Copyable {
    private let socket: UnixSocket
    private var received: [UInt8] = []
    private var lastID: Int64 = 0
    /// Notifications that came while a call waited for its answer.
    private var unread: [RPCNotification] = []

    /// The socket that `--socket` and `VDRIVE_SOCKET` lead to when they are not given.
    package static let standardPath = "/run/vdrive.sock"

    /// Connects.
    ///
    /// - Parameters:
    ///   - path: the daemon's socket; nil for `VDRIVE_SOCKET`, or the standard one where that is not set.
    ///   - timeoutSeconds: how long the daemon may be silent in a call, which then throws `disconnected`; nil for ever.
    /// - Throws: `notReachable`.
    package init(path: String? = nil, timeoutSeconds: Int? = nil) throws(ControlError) {
        socket = try UnixSocket(
            path: path ?? Self.environmentPath ?? Self.standardPath,
            timeoutSeconds: timeoutSeconds
        )
    }

    private static var environmentPath: String? {
        getenv("VDRIVE_SOCKET").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Calls a method whose types are known.
    package mutating func call<Method: RPCMethod>(
        _ method: Method.Type,
        _ parameters: Method.Parameters
    ) throws(ControlError) -> Method.Output {
        try Self.decode(method, from: try answer(to: method, parameters))
    }

    /// Calls a method whose parameters are known, and leaves the result as it came: also fields of it that this client
    /// does not know yet.
    package mutating func answer<Method: RPCMethod>(
        to method: Method.Type,
        _ parameters: Method.Parameters
    ) throws(ControlError) -> JSONValue {
        let params: JSONValue
        do {
            params = try JSONValue(encoding: parameters)
        } catch {
            throw .notUnderstood("The parameters of \(method.name.rawValue) cannot be encoded.")
        }
        return try call(method: method.name.rawValue, params: params)
    }

    /// Reads a result that `answer(to:_:)` gave.
    ///
    /// - Throws: `notUnderstood`.
    package static func decode<Method: RPCMethod>(
        _ method: Method.Type,
        from result: JSONValue
    ) throws(ControlError) -> Method.Output {
        do {
            return try result.decode()
        } catch {
            throw .notUnderstood(
                "The daemon's answer to \(method.name.rawValue) is not understood; is it of another version?"
            )
        }
    }

    /// Calls a method without parameters.
    package mutating func call<Method: RPCMethod>(_ method: Method.Type) throws(ControlError) -> Method.Output
    where Method.Parameters == NoParameters {
        try call(method, NoParameters())
    }

    /// Calls any method by name.
    ///
    /// - Throws: `rpc` with the daemon's error, `disconnected`, or `notUnderstood`.
    package mutating func call(method: String, params: JSONValue?) throws(ControlError) -> JSONValue {
        lastID += 1
        let request = RPCRequest(id: .integer(lastID), method: method, params: params)
        try socket.send(Array(request.line.utf8) + [UInt8(ascii: "\n")])
        while true {
            let line = try nextLine()
            guard let json = try? JSONValue(parsing: line) else {
                throw .notUnderstood("What answers at the socket does not speak JSON.")
            }
            guard let response = RPCResponse(json: json) else {
                if let notification = RPCNotification(json: json) { unread.append(notification) }
                continue
            }
            guard response.id == request.id || response.id == .null else { continue }
            switch response.outcome {
            case .success(let result): return result
            case .failure(let error): throw .rpc(error)
            }
        }
    }

    /// Waits for the next notification, such as an event after `events.subscribe`; those of an unknown method too.
    ///
    /// - Throws: `disconnected` when the daemon ends, `notUnderstood`.
    package mutating func nextNotification() throws(ControlError) -> RPCNotification {
        if !unread.isEmpty { return unread.removeFirst() }
        while true {
            let line = try nextLine()
            guard let json = try? JSONValue(parsing: line) else {
                throw .notUnderstood("What answers at the socket does not speak JSON.")
            }
            if let notification = RPCNotification(json: json) { return notification }
        }
    }

    private mutating func nextLine() throws(ControlError) -> [UInt8] {
        var searched = 0
        while true {
            if let end = received[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(received[..<end])
                received.removeFirst(end + 1)
                return line
            }
            searched = received.count
            guard searched <= RPCLimits.lineBytesMax else {
                throw .notUnderstood("The daemon's answer is longer than \(RPCLimits.lineBytesMax) bytes.")
            }
            let bytes = try socket.receive()
            guard !bytes.isEmpty else { throw .disconnected("The daemon ended before it answered.") }
            received += bytes
        }
    }
}
