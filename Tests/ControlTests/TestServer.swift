import Glibc
import Linux
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import VDriveControl
import VDriveProtocol

/// A control server on a socket of its own, for the time of a body.
struct TestServer: Sendable {
    let socket: String
    private let group: ServiceGroup

    /// Asks the server to stop, as a signal would.
    func stop() async { await group.triggerGracefulShutdown() }

    static func with(
        limits: ControlServer.Limits = ControlServer.Limits(),
        user: UInt32 = geteuid(),
        _ fill: (inout DispatchTable) -> Void,
        _ body: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        let folder = try ScratchFolder()
        var table = DispatchTable()
        fill(&table)
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let socket = "\(folder.path)/s"
        let server = try ControlServer(
            path: socket,
            table: table,
            policy: AccessPolicy(daemonUser: user),
            group: loops,
            limits: limits,
            logger: quiet
        )
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(services: [.init(service: server)], logger: quiet)
        )
        let test = TestServer(socket: socket, group: services)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            do {
                try await body(test)
            } catch {
                await services.triggerGracefulShutdown()
                throw error
            }
            await services.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        try await loops.shutdownGracefully()
        withExtendedLifetime(folder) {}
    }
}

/// A client that sends bytes as they are, and reads with a time limit. Its calls block, so they run on threads.
final class RawClient: Sendable {
    private let descriptor: CInt
    private let received = Mutex<[UInt8]>([])

    init(_ socket: String, secondsMax: Int = 20) throws {
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

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) throws {
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
    func finish() { shutdown(descriptor, CInt(SHUT_WR)) }

    /// The next line, or nil at the end of the connection.
    func line() throws -> String? {
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
    func json() throws -> JSONValue? {
        guard let line = try line() else { return nil }
        return try JSONValue(parsing: line.utf8)
    }
}
