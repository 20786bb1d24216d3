import Glibc
import Linux
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals
import VDriveControl
import VDriveProtocol

/// The composition root: everything that lives as long as the daemon is made here, and nowhere else.
struct Daemon {
    /// Threads for what blocks on behalf of the disks: mounts, mkfs, unmounts. Disks are attached and detached in
    /// parallel, and each holds one thread at a time.
    private static let hostThreads = 8

    let socketPath: String
    let layout: StateLayout
    let logger: Logger

    /// Runs until SIGTERM or SIGINT, and then until all disks are detached; a second signal waits for no remote.
    ///
    /// - Throws: `RPCError` when the daemon cannot start.
    func run() async throws {
        let lock = try layout.claim()
        let threads = BlockingThreads(name: "vdrive-host", count: Self.hostThreads)
        defer { threads.shutdown() }
        let daemonUser = geteuid()
        let registry = DiskRegistry(
            layout: layout,
            host: Host(threads: threads),
            daemonUser: daemonUser,
            logger: logger
        )
        await registry.load()

        // One event loop: the control socket is not the way of the data.
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try ControlServer(
            path: socketPath,
            table: .daemon(registry: registry),
            policy: AccessPolicy(daemonUser: daemonUser),
            group: loops,
            limits: ControlServer.Limits(),
            logger: logger
        )
        // In the order in which they depend on each other. They stop in reverse: the disks go while the socket still
        // answers, so that somebody can watch them.
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: server), .init(service: registry)],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            tasks.addTask { await hurryAtSecondSignal(registry) }
            try await tasks.next()
            tasks.cancelAll()
        }
        try await loops.shutdownGracefully()
        withExtendedLifetime(lock) {}
    }

    private func hurryAtSecondSignal(_ registry: DiskRegistry) async {
        var count = 0
        for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
            count += 1
            guard count > 1 else {
                logger.info("stopping; a second signal waits for no remote", metadata: ["signal": "\(signal)"])
                continue
            }
            logger.warning("stopping at once; what is not on the remote stays on this machine")
            await registry.hurry()
        }
    }
}
