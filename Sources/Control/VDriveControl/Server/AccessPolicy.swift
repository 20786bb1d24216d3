package import Linux
import NIOCore
import NIOPosix
package import VDriveProtocol

/// Who may use the control socket: root, the daemon's own user and the members of one group may do everything, others
/// nothing.
package struct AccessPolicy: Sendable {
    /// A group, and how its members are spoken of.
    package struct Group: Equatable, Sendable {
        package let id: UInt32
        package let name: String

        /// Looks a configured group up.
        ///
        /// - Parameter name: a name, or a number.
        /// - Throws: `fixConfiguration` when there is no such group.
        package init(named name: String) throws(RPCError) {
            let found: UInt32?
            do throws(Errno) {
                found = try UserGroup.id(of: name)
            } catch {
                throw RPCError(.fixConfiguration, "The system's groups cannot be read: \(error).")
            }
            guard let found else {
                throw RPCError(
                    .fixConfiguration,
                    "There is no group \(name) for the socket; make it with groupadd --system \(name), "
                        + "or name another one as socket-group."
                )
            }
            id = found
            self.name = name
        }
    }

    package let daemonUser: UInt32
    package let group: Group?

    package init(daemonUser: UInt32, group: Group? = nil) {
        self.daemonUser = daemonUser
        self.group = group
    }

    package func allows(_ peer: PeerCredentials) -> Bool {
        peer.uid == 0 || peer.uid == daemonUser || group.map { peer.isMember(of: $0.id) } ?? false
    }

    /// What everybody else hears.
    var refusal: RPCError {
        let members = group.map { "Only root, the daemon's user and members of the group \($0.name)" }
        return RPCError(.refused, "\(members ?? "Only root and the daemon's user") may use this socket.")
    }
}

extension PeerCredentials {
    /// Asks the kernel about a client.
    ///
    /// - Throws: `ChannelError` or `Errno` when the channel is no Unix socket.
    static func of(_ channel: any Channel) throws -> PeerCredentials {
        let peer = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
            try PeerCredentials.of($0)
        }
        guard let peer else { throw ChannelError.operationUnsupported }
        return peer
    }
}
