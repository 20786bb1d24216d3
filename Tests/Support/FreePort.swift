internal import Glibc
internal import Synchronization

/// Loopback ports for servers of tests.
package enum FreePort {
    private static let given = Mutex<Set<UInt16>>([])

    /// A port on 127.0.0.1 that nobody listens on; never the same twice in one process.
    package static func next() -> UInt16 {
        while true {
            let port = withSocket { socket in
                var address = loopback(0)
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                return withUnsafeMutablePointer(to: &address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                        precondition(bind(socket, address, length) == 0, "no free port: errno \(errno)")
                        getsockname(socket, address, &length)
                    }
                    return UInt16(bigEndian: pointer.pointee.sin_port)
                }
            }
            if given.withLock({ $0.insert(port).inserted }) { return port }
        }
    }

    /// Whether somebody accepts connections on a port of 127.0.0.1.
    package static func answers(_ port: UInt16) -> Bool {
        withSocket { connects($0, to: port) }
    }

    /// Sends one line to a port of 127.0.0.1 and reads the answer to its end.
    ///
    /// - Throws: when nobody answers there.
    @discardableResult
    static func tell(_ port: UInt16, _ line: String) throws -> String {
        try withSocket { socket in
            var limit = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let text = Array("\(line)\n".utf8)
            guard connects(socket, to: port), send(socket, text, text.count, Int32(MSG_NOSIGNAL)) == text.count
            else { throw SharedTools.Missing(description: "Nothing answers on port \(port).") }
            shutdown(socket, Int32(SHUT_WR))
            var answer: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(socket, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                answer += buffer[..<count]
            }
            return String(decoding: answer, as: UTF8.self)
        }
    }

    private static func connects(_ socket: Int32, to port: UInt16) -> Bool {
        var address = loopback(port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                connect(socket, address, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func withSocket<Value>(_ body: (Int32) throws -> Value) rethrows -> Value {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        precondition(descriptor >= 0, "no socket: errno \(errno)")
        defer { close(descriptor) }
        return try body(descriptor)
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
