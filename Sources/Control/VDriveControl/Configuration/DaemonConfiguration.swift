import Linux
package import Logging
package import VDriveProtocol

/// The daemon's settings, and where each comes from: the command line, else the environment, else `vdrived.toml`, else
/// what is usual. It holds no secret.
package struct DaemonConfiguration: Equatable, Sendable {
    package typealias Value = DaemonConfig.Setting

    package static let standardFile = "/etc/vdrive/vdrived.toml"
    /// Names another file, as `--config` does.
    package static let fileVariable = "VDRIVE_CONFIG"

    /// The file that was read; its value is nil when there is none at the usual place.
    package let file: Value
    private let values: [DaemonSetting: Value]

    /// Settles everything.
    ///
    /// - Parameters:
    ///   - options: what the command line says.
    ///   - configOption: the file that the command line names.
    ///   - variable: the environment; a variable that is empty counts as not set.
    ///   - standardFile: read when no other file is named, and there is one.
    /// - Throws: `fixConfiguration` for a value that is not allowed, with its place; for a file that was named and
    ///   cannot be read; for one that is not as it should be.
    package init(
        options: [DaemonSetting: String],
        configOption: String?,
        variable: (String) -> String?,
        standardFile: String = Self.standardFile
    ) throws(RPCError) {
        let file = Self.file(configOption, variable(Self.fileVariable), standardFile)
        let table = try file.value.map { path throws(RPCError) in
            try StrictTable(
                text: try StrictTable.read(path),
                path: path,
                keys: Set(DaemonSetting.allCases.map(\.key)),
                isSecret: false
            )
        }
        var values: [DaemonSetting: Value] = [:]
        for setting in DaemonSetting.allCases {
            // The file's own errors count also where something above it is used in its place.
            let inFile = try table.flatMap { table throws(RPCError) in try Self.value(of: setting, in: table) }
            if let text = options[setting] {
                try Self.check(text, setting, place: setting.option)
                values[setting] = Value(text, .commandLine)
            } else if let text = variable(setting.variable), !text.isEmpty {
                try Self.check(text, setting, place: setting.variable)
                values[setting] = Value(text, .environment)
            } else {
                values[setting] = inFile ?? Value(setting.standard, .default)
            }
        }
        self.file = file
        self.values = values
    }

    private static func file(_ option: String?, _ variable: String?, _ standard: String) -> Value {
        if let option { return Value(option, .commandLine) }
        if let variable, !variable.isEmpty { return Value(variable, .environment) }
        // One that is there and cannot be read is an error later on.
        let isMissing: Bool
        do throws(Errno) {
            _ = try FileStatus.of(standard)
            isMissing = false
        } catch {
            isMissing = error == .noSuchFileOrDirectory || error == .notDirectory
        }
        return Value(isMissing ? nil : standard, .default)
    }

    private static func value(of setting: DaemonSetting, in table: StrictTable) throws(RPCError) -> Value? {
        guard let text = try table.string(setting.key) else { return nil }
        if let complaint = setting.complaint(about: text) {
            throw table.error(at: setting.key, "\(setting.key) \(complaint).")
        }
        return Value(text, .file)
    }

    private static func check(_ text: String, _ setting: DaemonSetting, place: String) throws(RPCError) {
        guard let complaint = setting.complaint(about: text) else { return }
        throw RPCError(.fixConfiguration, "\(place) \(complaint), and is \(text.isEmpty ? "empty" : text).")
    }

    // MARK: The settings

    package subscript(setting: DaemonSetting) -> Value { values[setting] ?? Value(setting.standard, .default) }

    package var socketPath: String { text(.socket) }
    package var socketGroup: String? { self[.socketGroup].value }
    package var stateDirectory: String { text(.stateDirectory) }
    package var runDirectory: String { text(.runDirectory) }
    package var logLevel: Logger.Level { Logger.Level(rawValue: text(.logLevel)) ?? .info }

    private func text(_ setting: DaemonSetting) -> String { self[setting].value ?? "" }

    /// The answer to `daemon.config`.
    ///
    /// - Parameter listening: the socket that is served, which may be another one than the settings say.
    package func report(serving listening: borrowing ListeningSocket) -> DaemonConfig.Output {
        DaemonConfig.Output(
            configFile: file,
            socket: listening.isInherited ? Value(listening.path, .socketActivation) : self[.socket],
            socketGroup: self[.socketGroup],
            stateDirectory: self[.stateDirectory],
            runDirectory: self[.runDirectory],
            logLevel: self[.logLevel]
        )
    }
}
