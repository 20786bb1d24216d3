import Glibc

/// A connected Unix stream socket that is closed when it goes out of scope. Calls block the thread.
struct UnixSocket: ~Copyable {
    private let descriptor: CInt

    private let timeoutSeconds: Int?

    /// - Parameters:
    ///   - path: of the socket, under 108 bytes: the kernel's limit.
    ///   - timeoutSeconds: how long this waits, and `receive` and `send`; nil for ever.
    /// - Throws: `notReachable`.
    init(path: String, timeoutSeconds: Int?) throws(ControlError) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity, !path.isEmpty else {
            throw .notReachable("The socket's path is empty or longer than \(capacity - 1) bytes; use another one.")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .notReachable("No socket can be opened: \(Self.reason(errno)).") }
        if let timeoutSeconds {
            var time = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
            // Before connecting, which waits too: for a place in the queue of a daemon that accepts nobody.
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                // The length is right and the descriptor open, so this cannot fail.
                setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
            }
        }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw .notReachable(Self.sentence(path: path, code: code))
        }
        self.descriptor = descriptor
        self.timeoutSeconds = timeoutSeconds
    }

    deinit { close(descriptor) }

    private static func reason(_ code: CInt) -> String { String(cString: strerror(code)) }

    private static func sentence(path: String, code: CInt) -> String {
        switch code {
        case ENOENT, ECONNREFUSED:
            "The daemon does not answer at \(path); start vdrived, or name its socket with --socket or VDRIVE_SOCKET."
        case EACCES, EPERM:
            "You may not use the socket \(path); run this as root, or as a member of its group."
        case EAGAIN:
            "The daemon hangs: it accepts nobody at \(path); see its log, and restart it."
        default:
            "The socket \(path) cannot be used: \(reason(code))."
        }
    }

    /// Sends all bytes.
    ///
    /// - Throws: `disconnected`.
    borrowing func send(_ bytes: [UInt8]) throws(ControlError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(errno) }
            sent += count
        }
    }

    private func failure(_ code: CInt) -> ControlError {
        guard code == EAGAIN, let timeoutSeconds else {
            return .disconnected("The daemon closed the connection: \(Self.reason(code)).")
        }
        return .disconnected(
            "The daemon hangs: it has not answered for \(timeoutSeconds) s; see its log, and restart it."
        )
    }

    /// Waits for bytes; without a time limit most often, for some calls upload for hours.
    ///
    /// - Returns: at least one byte; empty when the other side closed.
    borrowing func receive() throws(ControlError) -> [UInt8] {
        while true {
            var code: CInt = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 64 * 1024) { buffer, count in
                let received = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                code = received < 0 ? errno : 0
                count = max(0, received)
            }
            if code == EINTR { continue }
            guard code == 0 else { throw failure(code) }
            return bytes
        }
    }
}
