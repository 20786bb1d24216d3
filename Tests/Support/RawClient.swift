internal import Glibc
internal import Linux
internal import Synchronization
package import VDriveProtocol

/// A client that sends bytes as they are, and reads with a time limit. Its calls block, so they run on threads.
package final class RawClient: Sendable {
    private let descriptor: CInt
    private let received = Mutex<[UInt8]>([])

    package init(_ socket: String, secondsMax: Int = 20) throws {
        descriptor = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Errno.current }
        var limit = timeval(tv_sec: secondsMax, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: socket.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw Errno.current }
    }

    deinit { close(descriptor) }

    package func send(_ text: String) throws { try send(Array(text.utf8)) }

    package func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Errno.current }
            sent += count
        }
    }

    /// Ends our side; the other one may still answer.
    package func finish() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// The next line, or nil at the end of the connection.
    package func line() throws -> String? {
        while true {
            let line = received.withLock { received -> String? in
                guard let end = received.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
                defer { received.removeFirst(end + 1) }
                return String(decoding: received[..<end], as: UTF8.self)
            }
            if let line { return line }
            var buffer = [UInt8](repeating: 0, count: 64 * 1024)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count == 0 || (count < 0 && errno == ECONNRESET) { return nil }
            guard count > 0 else { throw Errno.current }
            received.withLock { $0 += buffer[..<count] }
        }
    }

    /// The next line as JSON.
    package func json() throws -> JSONValue? {
        guard let line = try line() else { return nil }
        return try JSONValue(parsing: line.utf8)
    }
}
