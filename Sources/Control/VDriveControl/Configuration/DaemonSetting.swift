import Logging

/// One setting of the daemon, and its four names: `--state-dir`, `VDRIVE_STATE_DIR`, `state-dir` in the file, and
/// `stateDirectory` in `daemon.config`.
package enum DaemonSetting: String, CaseIterable, Sendable {
    case socket
    case socketGroup = "socket-group"
    case stateDirectory = "state-dir"
    case runDirectory = "run-dir"
    case logLevel = "log-level"

    /// In the file.
    package var key: String { rawValue }
    /// On the command line.
    package var option: String { "--\(key)" }
    /// In the environment.
    package var variable: String { "VDRIVE_" + key.uppercased().replacing("-", with: "_") }

    /// What holds where nobody says anything.
    package var standard: String? {
        switch self {
        case .socket: "/run/vdrive.sock"
        case .socketGroup: nil
        case .stateDirectory: "/var/lib/vdrive"
        case .runDirectory: "/run/vdrive"
        case .logLevel: Logger.Level.info.rawValue
        }
    }

    /// What is wrong with a value, as the rest of a sentence that begins with the setting's name; nil when nothing is.
    func complaint(about value: String) -> String? {
        switch self {
        case .socket, .stateDirectory, .runDirectory: value.hasPrefix("/") ? nil : "must be an absolute path"
        case .socketGroup: value.isEmpty ? "must be a group's name or number" : nil
        case .logLevel:
            Logger.Level(rawValue: value) == nil
                ? "must be trace, debug, info, notice, warning, error or critical" : nil
        }
    }
}
