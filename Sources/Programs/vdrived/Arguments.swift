import ArgumentParser
import Glibc
import Logging

/// The daemon's command line.
struct Arguments: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vdrived",
        abstract: "Serves virtual disks that lie on remote storage."
    )

    @Option(help: "The control socket; VDRIVE_SOCKET, or /run/vdrive.sock, when left out.")
    var socket: String?

    @Option(help: "Where configuration, metadata and caches are kept.")
    var stateDir = "/var/lib/vdrive"

    @Option(help: "Where the disks' images are mounted.")
    var runDir = "/run/vdrive"

    @Option(
        help: "trace, debug, info, notice, warning, error or critical.",
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError("There is no log level \(text).")
            }
            return level
        }
    )
    var logLevel = Logger.Level.info

    var socketPath: String {
        if let socket { return socket }
        let environment = getenv("VDRIVE_SOCKET").map { String(cString: $0) } ?? ""
        return environment.isEmpty ? "/run/vdrive.sock" : environment
    }
}
