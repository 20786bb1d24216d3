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

    let configuration: DaemonConfiguration
    /// Whose members may use the socket.
    let group: AccessPolicy.Group?
    let layout: StateLayout
    /// The socket, where somebody else has opened it.
    let activation: SocketActivation?
    /// Who wants to know how the daemon is.
    let supervision: Supervision?
    let logger: Logger

    /// Runs until SIGTERM or SIGINT, and then until all disks are detached; a second signal waits for no remote.
    ///
    /// - Throws: `RPCError` when the daemon cannot start.
    func run() async throws {
        let lock = try layout.claim()
        let threads = BlockingThreads(name: "vdrive-host", count: Self.hostThreads)
        defer { threads.shutdown() }
        let daemonUser = geteuid()
        let events = EventHub(run: EventHub.newRun())
        let jobs = JobRegistry(events: events)
        let registry = DiskRegistry(
            layout: layout,
            host: Host(threads: threads),
            daemonUser: daemonUser,
            events: events,
            jobs: jobs,
            logger: logger
        )
        await registry.load()

        // One event loop: the control socket is not the way of the data.
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let reporter = supervision.map { supervision in
            SystemdReporter(supervision: supervision, logger: logger) {
                try? await loops.next().submit {}.get()
                return await registry.census()
            }
        }
        let listening = try listen()
        let table = DispatchTable.daemon(registry: registry, config: configuration.report(serving: listening))
        let server = ControlServer(
            listening: listening,
            table: table,
            policy: AccessPolicy(daemonUser: daemonUser, group: group),
            group: loops,
            limits: ControlServer.Limits(),
            logger: logger,
            whenServing: { reporter?.socketAnswers() }
        )
        // In the order in which they depend on each other. They stop in reverse: the disks go while the socket still
        // answers, so that somebody can watch them, and the jobs that waited for them come to their end.
        var members: [any Service] = [server, jobs, registry]
        if let reporter { members = [reporter] + members + [StopHerald(of: reporter)] }
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: members.map { .init(service: $0) },
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

    private func listen() throws(RPCError) -> ListeningSocket {
        guard let activation else { return try ListeningSocket(path: configuration.socketPath, group: group?.id) }
        let listening = try ListeningSocket(activation)
        let wanted = configuration[.socket]
        if wanted.source != .default, wanted.value != listening.path {
            logger.warning(
                "another socket was passed than the one that is configured; the one that was passed is served",
                metadata: ["passed": "\(listening.path ?? "unnamed")", "configured": "\(wanted.value ?? "")"]
            )
        }
        return listening
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
