import ArgumentParser
import VDriveControl

/// The daemon's command line. Values are checked with those of the environment and of the file, in one place.
struct Arguments: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vdrived",
        abstract: "Serves virtual disks that lie on remote storage.",
        discussion: """
            An option counts before its environment variable, the variable before the key of the same name in the \
            configuration file. vdrivectl daemon config shows what holds, and where it comes from. A socket that \
            systemd passes counts before all of them.

            It ends with 64 when it does not understand the command line, with 2 when a setting is wrong, and with 1 \
            when it cannot start for another reason.

            ENVIRONMENT
              VDRIVE_CONFIG          the configuration file
              VDRIVE_SOCKET          as --socket
              VDRIVE_SOCKET_GROUP    as --socket-group
              VDRIVE_STATE_DIR       as --state-dir
              VDRIVE_RUN_DIR         as --run-dir
              VDRIVE_LOG_LEVEL       as --log-level
              LISTEN_FDS             a listening socket is passed, by systemd; of several
                                     the one that is named control in LISTEN_FDNAMES
              NOTIFY_SOCKET          where systemd is told how the daemon is
              WATCHDOG_USEC          how often it wants a sign of life
              CREDENTIALS_DIRECTORY  where systemd puts what LoadCredential= names

            FILES
              /etc/vdrive/vdrived.toml  the settings, each called as its option is
            """
    )

    @Option(
        help: "The configuration file; VDRIVE_CONFIG, or /etc/vdrive/vdrived.toml, when left out.",
        completion: .file(extensions: ["toml"])
    )
    var config: String?

    @Option(help: "The control socket; /run/vdrive.sock when nothing else says.", completion: .file())
    var socket: String?

    @Option(help: "A group, by name or number, whose members may use the socket, beside root and the daemon's user.")
    var socketGroup: String?

    @Option(
        help: "Where configuration, metadata and caches of disks are kept; /var/lib/vdrive when nothing else says.",
        completion: .directory
    )
    var stateDir: String?

    @Option(help: "Where the disks' images are mounted; /run/vdrive when nothing else says.", completion: .directory)
    var runDir: String?

    @Option(
        help: "trace, debug, info, notice, warning, error or critical; info when nothing else says.",
        completion: .list(["trace", "debug", "info", "notice", "warning", "error", "critical"])
    )
    var logLevel: String?

    /// What was said.
    var settings: [DaemonSetting: String] {
        let all: [DaemonSetting: String?] = [
            .socket: socket, .socketGroup: socketGroup, .stateDirectory: stateDir, .runDirectory: runDir,
            .logLevel: logLevel,
        ]
        return all.compactMapValues(\.self)
    }
}
