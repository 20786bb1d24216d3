import Linux
package import VDriveProtocol

/// A listening socket that systemd, or `systemd-socket-activate`, opened for this process: sd_listen_fds(3).
///
/// One descriptor is the control socket whatever it is called. Of several it is the one whose name
/// (`FileDescriptorName=` in a socket unit) is `control`; there must be exactly one, and the others are closed.
package struct SocketActivation: Equatable, Sendable {
    /// Our descriptor's name, where there are several.
    package static let name = "control"
    /// They speak to one process, so nobody who is started by it may see them.
    package static let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]

    private static let first: CInt = 3
    /// Beyond it somebody has mistyped a number.
    private static let countMax: CInt = 1024

    package let descriptor: CInt
    /// Those that came with it.
    package let others: [CInt]

    init(descriptor: CInt, others: [CInt]) {
        self.descriptor = descriptor
        self.others = others
    }

    /// Reads what the environment says; nothing is done to the descriptors.
    ///
    /// - Parameters:
    ///   - pid: of this process; what is meant for another one is no concern of ours.
    ///   - variable: the environment.
    /// - Returns: nil when no socket was passed to this process.
    /// - Throws: `fixConfiguration` when what was passed cannot be meant for us.
    package init?(pid: Int32, variable: (String) -> String?) throws(RPCError) {
        guard let owner = variable("LISTEN_PID"), let text = variable("LISTEN_FDS") else { return nil }
        guard let process = Int32(owner), process > 0 else {
            throw Self.error("LISTEN_PID is \(owner), which is no process id")
        }
        guard process == pid else { return nil }
        guard let count = CInt(text), (0...Self.countMax).contains(count) else {
            throw Self.error("LISTEN_FDS is \(text), which is no number of descriptors")
        }
        guard count > 0 else { return nil }
        let descriptors = Array(Self.first..<(Self.first + count))
        let chosen = try Self.choose(descriptors, names: variable("LISTEN_FDNAMES"))
        self.init(descriptor: chosen, others: descriptors.filter { $0 != chosen })
    }

    private static func choose(_ descriptors: [CInt], names text: String?) throws(RPCError) -> CInt {
        let names = text?.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if let names, names.count != descriptors.count {
            throw error("LISTEN_FDNAMES has \(names.count) names for \(descriptors.count) descriptors")
        }
        guard descriptors.count > 1 else { return descriptors[0] }
        let ours = zip(descriptors, names ?? []).filter { $0.1 == name }.map(\.0)
        guard ours.count == 1 else {
            throw error(
                "\(descriptors.count) sockets were passed, and \(ours.count) of them are called \(name)",
                advice: "set FileDescriptorName=\(name) in the one socket unit that is the daemon's"
            )
        }
        return ours[0]
    }

    /// Makes sure that the descriptor is a socket that can be served, and that no program that the daemon starts
    /// inherits any of them; closes the others.
    ///
    /// - Throws: `fixConfiguration` when it is no listening Unix stream socket.
    func claim() throws(RPCError) {
        let kind: SocketKind
        do throws(Errno) {
            for each in others { try closeInherited(each) }
            try setCloseOnExec(descriptor)
            kind = try SocketKind.of(descriptor)
        } catch {
            throw Self.error("the descriptor \(descriptor) that was passed cannot be used (\(error))")
        }
        guard kind.isUnixStream, kind.isListening else {
            let what = kind.isUnixStream ? "does not listen" : "is no Unix stream socket"
            throw Self.error(
                "the socket that was passed \(what)",
                advice: "give the socket unit ListenStream= with a path, and Accept=no"
            )
        }
    }

    private static func error(
        _ cause: String,
        advice: String = "see the socket unit, or start vdrived without it"
    ) -> RPCError {
        RPCError(.fixConfiguration, "Socket activation: \(cause); \(advice).")
    }
}
