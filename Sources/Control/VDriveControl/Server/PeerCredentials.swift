import Glibc
package import NIOCore

/// Who is at the other end of a Unix socket, as the kernel saw it at connect: `struct ucred` of SO_PEERCRED.
package struct PeerCredentials: Equatable, Sendable {
    package let pid: Int32
    package let uid: UInt32
    package let gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }

    /// Asks the kernel.
    ///
    /// - Returns: a future that fails when the channel is no Unix socket.
    package static func of(_ channel: any Channel) -> EventLoopFuture<PeerCredentials> {
        // The three fields have the types and the order of the kernel's struct, which is fixed for all times.
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return provider.unsafeGetSocketOption(level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    }
}

/// Who may use the control socket: root and the daemon's own user may do everything, others nothing.
package struct AccessPolicy: Sendable {
    package let daemonUser: UInt32

    package init(daemonUser: UInt32) {
        self.daemonUser = daemonUser
    }

    package func allows(_ peer: PeerCredentials) -> Bool {
        peer.uid == 0 || peer.uid == daemonUser
    }
}
