import Glibc
import Linux
package import VDriveProtocol

/// The control socket's place in the filesystem: taken without a moment in which the mode is wrong, never taken away
/// from a daemon that answers. One that was passed to this process belongs to who passed it: its name and its mode are
/// left alone.
package struct ListeningSocket: ~Copyable {
    private static let backlog: CInt = 1024

    /// Its name; nil for a socket that was passed to this process and has none in the filesystem.
    package let path: String?
    /// Whether it was passed to this process.
    package let isInherited: Bool
    private let descriptor: CInt
    /// Of the name that this process made.
    private let inode: UInt64?

    /// Binds and listens, with mode 0660.
    ///
    /// - Parameters:
    ///   - path: under 108 bytes; its folder must exist. What a dead daemon left there is replaced.
    ///   - group: whose members may connect; this process's own when left out.
    /// - Throws: `exists` when somebody answers there, `fixConfiguration` when the path cannot be used.
    package init(path: String, group: UInt32? = nil) throws(RPCError) {
        let temporary = Directory.temporaryName(for: path)
        guard let address = UnixAddress(path: temporary), let final = UnixAddress(path: path) else {
            throw RPCError(
                .fixConfiguration,
                "The socket path \(path) is longer than the kernel allows; name a shorter one with --socket."
            )
        }
        try Self.checkFree(path, address: final)
        (descriptor, inode) = try Self.listen(path, address, temporary: temporary, group: group)
        self.path = path
        isInherited = false
    }

    /// Takes the socket that was passed to this process.
    ///
    /// - Throws: `fixConfiguration` when it cannot be served.
    package init(_ activation: SocketActivation) throws(RPCError) {
        try activation.claim()
        descriptor = activation.descriptor
        path = UnixAddress.path(of: activation.descriptor)
        isInherited = true
        inode = nil
    }

    private static func listen(
        _ path: String,
        _ address: UnixAddress,
        temporary: String,
        group: UInt32?
    ) throws(RPCError) -> (CInt, UInt64) {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw unusable(path, Errno.current) }
        do throws(Errno) {
            guard address.with({ bind(descriptor, $0, $1) }) == 0 else { throw .current }
            // Nobody can connect before `listen`, and nobody knows the name before the rename.
            if let group, chown(temporary, .max, group) != 0 { throw .current }
            guard chmod(temporary, 0o660) == 0, Glibc.listen(descriptor, backlog) == 0 else { throw .current }
            let inode = try FileStatus.of(temporary, followsLinks: false).inode
            try Directory.rename(temporary, to: path)
            return (descriptor, inode)
        } catch {
            close(descriptor)
            unlink(temporary)
            throw unusable(path, error)
        }
    }

    deinit { close(descriptor) }

    /// A copy of the descriptor, for a server that closes it itself.
    package borrowing func duplicate() throws(RPCError) -> CInt {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw Self.unusable(path ?? "that was passed", Errno.current) }
        return copy
    }

    /// Takes the name away, if it is this process's: unless another daemon has put its own socket there, or the socket
    /// was passed to this process.
    package borrowing func removeName() {
        guard let path, let inode else { return }
        if let status = try? FileStatus.of(path, followsLinks: false), status.inode == inode { unlink(path) }
    }

    private static func checkFree(_ path: String, address: UnixAddress) throws(RPCError) {
        guard Directory.exists(path) else { return }
        guard let status = try? FileStatus.of(path, followsLinks: false), status.kind == .socket else {
            throw RPCError(
                .fixConfiguration,
                "\(path) exists and is no socket; remove it, or name another path with --socket."
            )
        }
        let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard probe >= 0 else { throw unusable(path, Errno.current) }
        defer { close(probe) }
        // ECONNREFUSED is the one answer that says that nobody is there any more.
        guard address.with({ connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED || errno == ENOENT else {
            throw RPCError(.exists, "A daemon answers at \(path) already; stop it, or use another --socket.")
        }
    }

    private static func unusable(_ path: String, _ error: Errno) -> RPCError {
        RPCError(.fixConfiguration, "The socket \(path) cannot be made: \(error).")
    }
}
