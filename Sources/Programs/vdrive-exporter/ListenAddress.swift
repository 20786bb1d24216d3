import ArgumentParser
import Glibc

/// Where the exporter listens: a host and a port; an IPv6 address in brackets.
struct ListenAddress: ExpressibleByArgument, Equatable, CustomStringConvertible, Sendable {
    /// This machine alone: there is no password.
    static let standard = ListenAddress(host: "127.0.0.1", port: 9753)

    let host: String
    let port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"), let port = UInt16(argument[argument.index(after: colon)...]),
            port > 0
        else { return nil }
        var host = argument[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// What the environment asks for; nil when it is silent.
    static func environment() throws -> ListenAddress? {
        guard let text = getenv("VDRIVE_EXPORTER_LISTEN").map({ String(cString: $0) }), !text.isEmpty else {
            return nil
        }
        guard let address = ListenAddress(argument: text) else {
            throw ValidationError("VDRIVE_EXPORTER_LISTEN is not HOST:PORT.")
        }
        return address
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
