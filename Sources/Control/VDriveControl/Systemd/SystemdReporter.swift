import Linux
package import Logging
import ServiceLifecycle
import Synchronization

/// Tells the service manager how the daemon is.
///
/// ## Notes on the design
///
///     made ──the socket answers──▶ READY, STATUS ──stop──▶ STOPPING ──disks are gone──▶ ended
///
/// Every message but STOPPING comes from one loop: look, tell, sleep. The look goes the way of every call of a client,
/// over the control socket's event loop and the registry of disks. When either hangs, the look does not return, and so
/// no sign of life is sent: there is no timer that could go on without them.
///
/// It is the first of the daemon's services, and so the last to end: while the disks go, it asks for more time. That a
/// stop begins is told by `StopHerald`, the last service, which is stopped first.
package final class SystemdReporter: Service, CustomStringConvertible {
    /// How often is looked when no watchdog asks for more: a change of the status is told within it.
    private static let pulseMax = Duration.seconds(2)
    /// How much longer a stop may take, asked for at each look while disks are still being detached.
    static let stopExtension = Duration.seconds(30)
    /// How long a message waits for a manager that is behind with its own.
    private static let patience = Duration.seconds(5)

    private let supervision: Supervision
    private let look: @Sendable () async -> DiskCensus
    private let logger: Logger
    private let answering: AsyncStream<Void>
    private let setAnswering: AsyncStream<Void>.Continuation
    private let isSilenced = Atomic(false)

    /// - Parameter look: counts the disks, on the way that calls of clients take; it returns when that way is free.
    package init(supervision: Supervision, logger: Logger, look: @escaping @Sendable () async -> DiskCensus) {
        self.supervision = supervision
        self.look = look
        self.logger = logger
        (answering, setAnswering) = AsyncStream.makeStream()
    }

    package var description: String { "notices to systemd" }

    /// The control socket answers from now on. From any thread.
    package func socketAnswers() {
        setAnswering.yield()
        setAnswering.finish()
    }

    /// The daemon stops from now on. From any thread; it does not wait.
    func stops() {
        do throws(Errno) {
            try sendDatagram(
                Notice.text([.stopping, .status("stopping"), .extendTimeout(Self.stopExtension)]),
                to: supervision.address
            )
        } catch {
            complain(error)
        }
    }

    package func run() async throws {
        for await _ in answering.cancelOnGracefulShutdown() { break }
        let pulse = min(Self.pulseMax, (supervision.watchdog ?? .seconds(3600)) / 2)
        var isReady = false
        var status: String?
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            let census = await look()
            var notices: [Notice] = isReady ? [] : [.ready]
            if status != census.sentence { notices.append(.status(census.sentence)) }
            if supervision.watchdog != nil { notices.append(.watchdog) }
            if census.isStopping { notices.append(.extendTimeout(Self.stopExtension)) }
            if !notices.isEmpty, await tell(notices) {
                isReady = true
                status = census.sentence
            }
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: pulse) }
        }
    }

    /// - Returns: whether the manager has it.
    private func tell(_ notices: [Notice]) async -> Bool {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            do throws(Errno) {
                try sendDatagram(Notice.text(notices), to: supervision.address)
                isSilenced.store(false, ordering: .relaxed)
                return true
            } catch {
                guard error == .wouldBlock, ContinuousClock.now < deadline else {
                    complain(error)
                    return false
                }
            }
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return false }
        }
    }

    /// Once, until a message has come through again.
    private func complain(_ error: Errno) {
        guard !isSilenced.exchange(true, ordering: .relaxed) else { return }
        logger.warning("systemd cannot be told how the daemon is", metadata: ["error": "\(error)"])
    }
}

/// Announces a stop at its very beginning: services stop in reverse order, and this one is the last.
package struct StopHerald: Service, CustomStringConvertible {
    private let reporter: SystemdReporter

    package init(of reporter: SystemdReporter) {
        self.reporter = reporter
    }

    package var description: String { "notice of the stop" }

    package func run() async {
        // Throws when cancelled, which is the daemon's end no less.
        try? await gracefulShutdown()
        reporter.stops()
    }
}
