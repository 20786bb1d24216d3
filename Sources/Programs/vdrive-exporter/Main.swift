import ArgumentParser
import Glibc
import Hummingbird
import Logging
import ServiceLifecycle
import UnixSignals
import VDriveProtocol

/// The exporter's entry. Exit codes: 0 fine, 1 failed, 2 usage.
@main
struct VDriveExporter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vdrive-exporter",
        abstract: "Tells Prometheus what vdrived does.",
        discussion: """
            It serves /metrics; each scrape is one call to the daemon. While no daemon answers, vdrive_up is 0 and \
            nothing else is told. Protocol/metrics.md explains every metric.

            EXIT CODES
              0  fine: ended by SIGTERM or SIGINT
              1  failed: the address cannot be had
              2  usage: the command line is wrong

            ENVIRONMENT
              VDRIVE_EXPORTER_LISTEN  the address, when --listen is left out
              VDRIVE_SOCKET           the daemon's socket, when --socket is left out
            """,
        version: DaemonVersion.release
    )

    @Option(help: "Where to listen: HOST:PORT; VDRIVE_EXPORTER_LISTEN, or 127.0.0.1:9753, when left out.")
    var listen: ListenAddress?

    @Option(help: "The daemon's socket; VDRIVE_SOCKET, or /run/vdrive.sock, when left out.", completion: .file())
    var socket: String?

    @Flag(help: "Print the table of all metrics, and end.")
    var listMetrics = false

    static func main() async {
        do {
            var command = try parse()
            try await command.run()
        } catch let error as Unreachable {
            complain(error.description)
            Glibc.exit(1)
        } catch {
            // Help and version end well; everything else that the parser throws is a wrong command line.
            guard exitCode(for: error) == .success else {
                complain(fullMessage(for: error))
                Glibc.exit(2)
            }
            exit(withError: error)
        }
    }

    mutating func run() async throws {
        if listMetrics { return print(Metrics.table) }
        let address = try listen ?? ListenAddress.environment() ?? .standard
        let logger = Logger(label: "vdrive-exporter") { StreamLogHandler.standardError(label: $0) }
        let scraper = Scraper(socket: socket, logger: logger)
        let application = Application(
            responder: Site(scraper: scraper),
            configuration: ApplicationConfiguration(address: .hostname(address.host, port: address.port)),
            onServerRunning: { _ in logger.info("listening", metadata: ["address": "\(address)"]) },
            logger: Logger(label: "hummingbird") { _ in SwiftLogNoOpLogHandler() }
        )
        let services = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: application)],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger
            )
        )
        do {
            try await services.run()
        } catch {
            await scraper.stop()
            throw Unreachable(description: "It cannot listen at \(address): \(error)")
        }
        await scraper.stop()
    }

    private static func complain(_ sentence: String) {
        Array("vdrive-exporter: \(sentence)\n".utf8)
            .withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// The address is taken, or not this machine's.
    private struct Unreachable: Error {
        let description: String
    }
}
