package import Glibc

/// The name of a Unix socket, as the kernel takes it.
package struct UnixAddress: Sendable {
    /// The bytes that a name can have, with the zero that ends a path.
    package static let nameBytesMax = 108

    private var raw = sockaddr_un()
    private let length: socklen_t

    /// A name in the filesystem.
    ///
    /// - Returns: nil when the path is empty, holds a zero byte, or is longer than the kernel allows: 107 bytes.
    package init?(path: String) {
        guard path.utf8.count < Self.nameBytesMax else { return nil }
        self.init(name: Array(path.utf8), length: MemoryLayout<sockaddr_un>.size)
    }

    /// A name that lies in no filesystem and goes with its last socket.
    ///
    /// - Returns: nil when the name is empty, holds a zero byte, or is longer than 107 bytes.
    package init?(abstract name: String) {
        guard !name.isEmpty, name.utf8.count < Self.nameBytesMax else { return nil }
        // The zero in front says what it is; the length counts, for no zero ends it.
        self.init(
            name: [0] + Array(name.utf8),
            length: MemoryLayout<sa_family_t>.size + 1 + name.utf8.count
        )
    }

    private init?(name: [UInt8], length: Int) {
        guard !name.isEmpty, !name.dropFirst().contains(0) else { return nil }
        raw.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &raw.sun_path) { $0.copyBytes(from: name) }
        self.length = socklen_t(length)
    }

    /// Gives the name to a call of the kernel, such as `bind`.
    package func with<Answer>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Answer) -> Answer {
        withUnsafePointer(to: raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    /// The path that a socket is bound to.
    ///
    /// - Returns: nil for a socket without a name in the filesystem, and for what is no Unix socket.
    package static func path(of descriptor: CInt) -> String? {
        var raw = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0, raw.sun_family == sa_family_t(AF_UNIX) else { return nil }
        let count = Int(length) - MemoryLayout<sa_family_t>.size
        guard count > 0 else { return nil }
        let name = withUnsafeBytes(of: raw.sun_path) { $0.prefix(count).prefix { $0 != 0 }.map(\.self) }
        return name.isEmpty ? nil : String(decoding: name, as: UTF8.self)
    }
}
