import Glibc
import Linux
package import VDriveProtocol

/// The control socket's place in the filesystem: taken without a moment in which the mode is wrong, never taken away
/// from a daemon that answers.
package struct ListeningSocket: ~Copyable {
    private static let backlog: CInt = 1024

    package let path: String
    private let descriptor: CInt
    private let inode: UInt64

    /// Binds and listens, with mode 0660.
    ///
    /// - Parameter path: under 108 bytes; its folder must exist. What a dead daemon left there is replaced.
    /// - Throws: `exists` when somebody answers there, `fixConfiguration` when the path cannot be used.
    package init(path: String) throws(RPCError) {
        let temporary = Directory.temporaryName(for: path)
        let address = try Self.address(path, temporary: temporary)
        try Self.checkFree(path, address: try Self.address(path, temporary: path))
        (descriptor, inode) = try Self.listen(path, address, temporary: temporary)
        self.path = path
    }

    private static func listen(
        _ path: String,
        _ address: sockaddr_un,
        temporary: String
    ) throws(RPCError) -> (CInt, UInt64) {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw unusable(path, Errno.current) }
        do throws(Errno) {
            guard with(address, { bind(descriptor, $0, $1) }) == 0 else { throw .current }
            // Nobody can connect before `listen`, and nobody knows the name before the rename.
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
        guard copy >= 0 else { throw Self.unusable(path, Errno.current) }
        return copy
    }

    /// Takes the name away, unless another daemon has put its own socket there.
    package borrowing func removeName() {
        if let status = try? FileStatus.of(path, followsLinks: false), status.inode == inode { unlink(path) }
    }

    private static func checkFree(_ path: String, address: sockaddr_un) throws(RPCError) {
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
        guard with(address, { connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED || errno == ENOENT else {
            throw RPCError(.exists, "A daemon answers at \(path) already; stop it, or use another --socket.")
        }
    }

    private static func address(_ path: String, temporary: String) throws(RPCError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard !path.isEmpty, temporary.utf8.count < capacity else {
            throw RPCError(
                .fixConfiguration,
                "The socket path \(path) is longer than the kernel allows; name a shorter one with --socket."
            )
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: temporary.utf8) }
        return address
    }

    private static func with(
        _ address: sockaddr_un,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) -> CInt {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func unusable(_ path: String, _ error: Errno) -> RPCError {
        RPCError(.fixConfiguration, "The socket \(path) cannot be made: \(error).")
    }
}
