import Glibc

/// What a descriptor is, where another process says that it is a socket.
package struct SocketKind: Equatable, Sendable {
    package let isUnixStream: Bool
    package let isListening: Bool

    package init(isUnixStream: Bool, isListening: Bool) {
        self.isUnixStream = isUnixStream
        self.isListening = isListening
    }

    /// Asks the kernel.
    ///
    /// - Throws: `Errno.badFileDescriptor` for a descriptor that is not open; `Errno` 88 (ENOTSOCK) for what is no
    ///   socket.
    package static func of(_ descriptor: CInt) throws(Errno) -> SocketKind {
        let domain = try option(SO_DOMAIN, of: descriptor)
        let type = try option(SO_TYPE, of: descriptor)
        return SocketKind(
            isUnixStream: domain == AF_UNIX && type == CInt(SOCK_STREAM.rawValue),
            isListening: try option(SO_ACCEPTCONN, of: descriptor) != 0
        )
    }

    // Not `systemCall`: here a descriptor that is not open is somebody else's mistake.
    private static func option(_ name: CInt, of descriptor: CInt) throws(Errno) -> CInt {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 else { throw .current }
        return value
    }
}

/// Keeps programs that this process starts from inheriting a descriptor.
///
/// - Throws: `Errno.badFileDescriptor` for one that is not open.
package func setCloseOnExec(_ descriptor: CInt) throws(Errno) {
    guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0 else { throw .current }
}

/// Closes a descriptor that this process was started with and has no use for.
///
/// - Throws: `Errno.badFileDescriptor` for one that is not open.
package func closeInherited(_ descriptor: CInt) throws(Errno) {
    guard close(descriptor) == 0 else { throw .current }
}

/// Sends one datagram to a Unix socket, without waiting.
///
/// - Throws: `Errno.wouldBlock` while the reader's queue is full, `noSuchFileOrDirectory` or `connectionRefused` when
///   nobody is there.
package func sendDatagram(_ text: String, to address: UnixAddress) throws(Errno) {
    let descriptor = try systemCall { socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    let flags = CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    let count = try systemCall {
        address.with { sendto(descriptor, bytes, bytes.count, flags, $0, $1) }
    }
    guard count == bytes.count else { throw .ioError }
}
