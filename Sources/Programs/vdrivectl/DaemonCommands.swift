import ArgumentParser
import VDriveClient
import VDriveProtocol

struct DaemonGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daemon",
        abstract: "The daemon itself.",
        subcommands: [Config.self]
    )

    struct Config: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows the daemon's settings, and where each comes from."
        )

        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            let style = Style.standardOutput
            try connection.report(DaemonConfig.self, NoParameters(), as: output) { Shown(Self.table($0, style: style)) }
        }

        private static func table(_ config: DaemonConfig.Output, style: Style) -> Table {
            var table = Table(columns: ["SETTING", "VALUE", "FROM"], style: style)
            let rows = [
                ("config", config.configFile), ("socket", config.socket), ("socket-group", config.socketGroup),
                ("state-dir", config.stateDirectory), ("run-dir", config.runDirectory),
                ("log-level", config.logLevel),
            ]
            for (name, setting) in rows { table.add([name, setting.value ?? "-", origin(setting.source, config)]) }
            return table
        }

        private static func origin(_ source: DaemonConfig.Source, _ config: DaemonConfig.Output) -> String {
            switch source {
            case .commandLine: "command line"
            case .environment: "environment"
            case .file: config.configFile.value ?? "file"
            case .default: "default"
            case .socketActivation: "socket activation"
            }
        }
    }
}
