import Glibc
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
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
        policy: AccessPolicy = AccessPolicy(daemonUser: geteuid()),
        _ fill: (inout DispatchTable) -> Void,
        _ body: @escaping @Sendable (TestServer) async throws -> Void
    ) async throws {
        let folder = try ScratchFolder()
        var table = DispatchTable()
        fill(&table)
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let socket = "\(folder.path)/s"
        let server = ControlServer(
            listening: try ListeningSocket(path: socket),
            table: table,
            policy: policy,
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
