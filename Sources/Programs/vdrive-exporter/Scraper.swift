import Logging
import NIOPosix
import Synchronization
import VDriveClient
import VDriveProtocol

/// Asks the daemon. One scrape is one connection and one call, so that a daemon that was restarted is found again.
final class Scraper: Sendable {
    /// How long the daemon may take; Prometheus gives a scrape 10 s unless it was told otherwise.
    static let secondsMax = 5
    /// Scrapes at the same time, while a daemon hangs.
    private static let threads = 8

    private let socket: String?
    private let pool = NIOThreadPool(numberOfThreads: threads)
    private let logger: Logger
    /// What was last logged: a daemon that is away for a day is one line.
    private let lastTrouble = Mutex<String?>(nil)

    /// - Parameter socket: nil for `VDRIVE_SOCKET`, or the standard one.
    init(socket: String?, logger: Logger) {
        self.socket = socket
        self.logger = logger
        pool.start()
    }

    /// Waits for the scrapes that run; no other may follow.
    func stop() async { try? await pool.shutdownGracefully() }

    /// - Returns: nil when the daemon did not answer in time, or not as it should.
    func scrape() async -> StatsGet.Output? {
        switch await answer() {
        case .success(let stats)?:
            note(nil)
            return stats
        case .failure(let error)?: note(error.description)
        case nil: note("The daemon hangs: it has not answered for \(Self.secondsMax) s.")
        }
        return nil
    }

    private typealias Answer = Result<StatsGet.Output, ControlError>

    /// - Returns: nil when the time is up; the thread that asks is then left behind, until its own time is up.
    private func answer() async -> Answer? {
        let (answers, source) = AsyncStream.makeStream(of: Answer.self)
        let request = ScrapeRequest()
        let socket = socket
        pool.submit { state in
            // Nobody waits for a scrape that has stood in the queue for so long.
            if state == .active, request.isWanted { source.yield(Self.ask(socket)) }
            source.finish()
        }
        defer { request.giveUp() }
        return await withTaskGroup(of: Answer?.self) { group in
            group.addTask { await answers.first { _ in true } }
            group.addTask {
                // Cancelled as soon as there is an answer.
                try? await Task.sleep(for: .seconds(Self.secondsMax))
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    private static func ask(_ socket: String?) -> Answer {
        do throws(ControlError) {
            var connection = try ControlConnection(path: socket, timeoutSeconds: secondsMax)
            return .success(try connection.call(StatsGet.self, StatsGet.Parameters()))
        } catch {
            return .failure(error)
        }
    }

    private func note(_ trouble: String?) {
        let isNews = lastTrouble.withLock { last in
            defer { last = trouble }
            return last != trouble
        }
        guard isNews else { return }
        if let trouble { logger.warning("\(trouble)") } else { logger.info("the daemon answers") }
    }
}

/// Whether somebody still waits for a scrape.
private final class ScrapeRequest: Sendable {
    private let isOver = Atomic(false)

    var isWanted: Bool { !isOver.load(ordering: .relaxed) }
    func giveUp() { isOver.store(true, ordering: .relaxed) }
}
