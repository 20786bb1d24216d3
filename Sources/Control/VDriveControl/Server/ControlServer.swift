import Linux
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle
import VDriveProtocol

/// The control socket: accepts clients and serves each in a task of its own.
///
/// It outlives the disks at shutdown, so that somebody can watch them go; then it stops accepting and reading, lets the
/// calls that run come to their end for a moment, and cuts off the rest.
package final class ControlServer: Service, CustomStringConvertible {
    /// The bounds of the server, where tests need others than users.
    package struct Limits: Sendable {
        /// How long a client may leave an answer unread, once the kernel holds no more for it.
        package var unreadPatience: TimeAmount = .seconds(30)
        /// How long calls may take to end once the server stops; by then the disks are gone, and only waiting is left.
        package var grace: Duration = .seconds(5)

        package init() {}
    }

    /// Calls of one connection that run at the same time.
    package static let callsMax = Connection.callsMax

    private typealias Client = (channel: NIOAsyncChannel<InboundLine, ByteBuffer>, peer: PeerCredentials)

    private let listening: ListeningSocket
    private let table: DispatchTable
    private let policy: AccessPolicy
    private let group: any EventLoopGroup
    private let limits: Limits
    private let logger: Logger
    private let whenServing: @Sendable () -> Void

    /// - Parameters:
    ///   - listening: taken by the caller, so that a daemon that cannot have it fails before it touches a disk.
    ///   - whenServing: called once clients are accepted.
    package init(
        listening: consuming ListeningSocket,
        table: DispatchTable,
        policy: AccessPolicy,
        group: any EventLoopGroup,
        limits: Limits,
        logger: Logger,
        whenServing: @escaping @Sendable () -> Void = {}
    ) {
        self.listening = listening
        self.whenServing = whenServing
        self.table = table
        self.policy = policy
        self.group = group
        self.limits = limits
        self.logger = logger
    }

    package var description: String { "control socket" }

    /// Serves until the graceful shutdown.
    package func run() async throws {
        defer { listening.removeName() }
        let server = try await bind()
        logger.info(
            "listening",
            metadata: ["socket": "\(listening.path ?? "unnamed")", "inherited": "\(listening.isInherited)"]
        )
        whenServing()
        try await withThrowingTaskGroup(of: Void.self) { race in
            race.addTask { try await self.serve(server) }
            race.addTask {
                try await gracefulShutdown()
                // What is left after the grace is cancelled with the group.
                try await Task.sleep(for: self.limits.grace)
            }
            try await race.next()
            race.cancelAll()
        }
    }

    private func serve(_ server: NIOAsyncChannel<Client, Never>) async throws {
        try await withGracefulShutdownHandler {
            try await server.executeThenClose { clients in
                try await withThrowingDiscardingTaskGroup { connections in
                    for try await client in clients {
                        let connection = Connection(
                            channel: client.channel,
                            peer: client.peer,
                            table: self.table,
                            policy: self.policy,
                            unreadPatience: self.limits.unreadPatience,
                            logger: self.logger
                        )
                        connections.addTask { await connection.run() }
                    }
                }
            }
        } onGracefulShutdown: {
            server.channel.close(promise: nil)
        }
    }

    private func bind() async throws -> NIOAsyncChannel<Client, Never> {
        try await ServerBootstrap(group: group)
            // `printf … | socat - UNIX-CONNECT:…` ends its side before it reads.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(try listening.duplicate()) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let peer = try PeerCredentials.of(channel)
                    try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(LineFramer()))
                    return (try NIOAsyncChannel(wrappingChannelSynchronously: channel), peer)
                }
            }
    }
}
