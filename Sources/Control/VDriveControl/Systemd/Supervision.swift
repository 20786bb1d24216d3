package import Linux
package import VDriveProtocol

/// What a service manager asks of this process: where to tell it how things are, and how often. sd_notify(3) and
/// sd_watchdog_enabled(3).
package struct Supervision: Sendable {
    /// They speak to one process, so nobody who is started by it may see them.
    package static let variables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

    package let address: UnixAddress
    /// The longest silence that is no failure; nil when nobody watches.
    package let watchdog: Duration?

    /// Reads what the environment says.
    ///
    /// - Parameters:
    ///   - pid: of this process; a watchdog for another one is no concern of ours.
    ///   - variable: the environment.
    /// - Returns: nil when nobody wants to know.
    /// - Throws: `fixConfiguration` for what cannot be understood: a service that its manager waits for in vain would
    ///   be ended without a word.
    package init?(pid: Int32, variable: (String) -> String?) throws(RPCError) {
        guard let name = variable("NOTIFY_SOCKET") else { return nil }
        let address = name.hasPrefix("@") ? UnixAddress(abstract: String(name.dropFirst())) : UnixAddress(path: name)
        guard let address, name.hasPrefix("@") || name.hasPrefix("/") else {
            throw RPCError(
                .fixConfiguration,
                "NOTIFY_SOCKET is \(name), neither an absolute path nor @ and a name; unset it, or set it right."
            )
        }
        self.address = address
        watchdog = try Self.watchdog(pid: pid, variable: variable)
    }

    private static func watchdog(pid: Int32, variable: (String) -> String?) throws(RPCError) -> Duration? {
        guard let text = variable("WATCHDOG_USEC") else { return nil }
        if let owner = variable("WATCHDOG_PID"), Int32(owner) != pid { return nil }
        guard let microseconds = Int64(text), microseconds >= 0 else {
            throw RPCError(
                .fixConfiguration,
                "WATCHDOG_USEC is \(text), which is no number of microseconds; unset it, or set it right."
            )
        }
        return microseconds == 0 ? nil : .microseconds(microseconds)
    }
}

/// One thing that a service manager is told.
package enum Notice: Equatable, Sendable {
    case ready
    case stopping
    /// One line for people.
    case status(String)
    /// A sign of life.
    case watchdog
    /// How much longer the start or the stop may take from now on.
    case extendTimeout(Duration)

    /// The lines of a datagram.
    package static func text(_ notices: [Notice]) -> String {
        notices.map { "\($0.line)\n" }.joined()
    }

    private var line: String {
        switch self {
        case .ready: "READY=1"
        case .stopping: "STOPPING=1"
        // A second line would be an assignment of its own.
        case .status(let text): "STATUS=\(text.split(whereSeparator: \.isNewline).joined(separator: " "))"
        case .watchdog: "WATCHDOG=1"
        case .extendTimeout(let time): "EXTEND_TIMEOUT_USEC=\(Int64(time / .microseconds(1)))"
        }
    }
}
