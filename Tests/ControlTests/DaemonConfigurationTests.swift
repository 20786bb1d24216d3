import Linux
import Logging
import Testing
import VDriveProtocol

@testable import VDriveControl

@Suite("daemon configuration")
struct DaemonConfigurationTests {
    /// A file that says something of everything.
    private static let whole = """
        # The daemon of this machine.
        socket = "/f/socket"
        socket-group = "files"
        state-dir = '/f/state'

        run-dir = "/f/run"
        log-level = "error"
        """

    private func read(
        _ file: String? = nil,
        options: [DaemonSetting: String] = [:],
        environment: [String: String] = [:]
    ) throws -> DaemonConfiguration {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/vdrived.toml"
        if let file { try writeFileAtomically(path, Array(file.utf8)) }
        return try DaemonConfiguration(
            options: options,
            configOption: nil,
            variable: { environment[$0] },
            standardFile: path
        )
    }

    @Test("without a word everything is as usual, and a missing file is no error")
    func usual() throws {
        let configuration = try read()
        #expect(configuration.file == DaemonConfig.Setting(nil, .default))
        #expect(configuration.socketPath == "/run/vdrive.sock")
        #expect(configuration.socketGroup == nil)
        #expect(configuration.stateDirectory == "/var/lib/vdrive")
        #expect(configuration.runDirectory == "/run/vdrive")
        #expect(configuration.logLevel == .info)
        for setting in DaemonSetting.allCases { #expect(configuration[setting].source == .default) }
    }

    @Test("the file counts, and says so")
    func file() throws {
        let configuration = try read(Self.whole)
        #expect(configuration.file.value?.hasSuffix("/vdrived.toml") == true && configuration.file.source == .default)
        #expect(configuration.socketPath == "/f/socket")
        #expect(configuration.socketGroup == "files")
        #expect(configuration.stateDirectory == "/f/state")
        #expect(configuration.runDirectory == "/f/run")
        #expect(configuration.logLevel == .error)
        for setting in DaemonSetting.allCases { #expect(configuration[setting].source == .file) }
    }

    @Test("command line over environment over file over what is usual", arguments: DaemonSetting.allCases)
    func precedence(setting: DaemonSetting) throws {
        let values = setting == .logLevel ? ["debug", "trace", "notice"] : ["/1", "/2", "/3"]
        for place in 0..<8 {
            let option = place & 1 != 0 ? values[0] : nil
            let variable = place & 2 != 0 ? values[1] : nil
            let key = place & 4 != 0 ? values[2] : nil
            let configuration = try read(
                key.map { "\(setting.key) = '\($0)'" },
                options: option.map { [setting: $0] } ?? [:],
                environment: variable.map { [setting.variable: $0] } ?? [:]
            )
            let expected: DaemonConfig.Setting =
                if let option { .init(option, .commandLine) } else if let variable {
                    .init(variable, .environment)
                } else if let key { .init(key, .file) } else { .init(setting.standard, .default) }
            #expect(configuration[setting] == expected, "\(place)")
        }
    }

    @Test("the names belong together")
    func names() {
        #expect(
            DaemonSetting.allCases.map(\.option) == [
                "--socket", "--socket-group", "--state-dir", "--run-dir", "--log-level",
            ]
        )
        #expect(
            DaemonSetting.allCases.map(\.variable) == [
                "VDRIVE_SOCKET", "VDRIVE_SOCKET_GROUP", "VDRIVE_STATE_DIR", "VDRIVE_RUN_DIR", "VDRIVE_LOG_LEVEL",
            ]
        )
    }

    @Test(
        "a file that is not as it should be is refused, with its line",
        arguments: [
            ("socket = ", "socker = ", 2, "the key socker is not known"),
            ("socket = \"/f/socket\"", "socket = 7", 2, "socket must be a string"),
            ("/f/socket", "f/socket", 2, "socket must be an absolute path"),
            ("\"files\"", "\"\"", 3, "socket-group must be a group's name or number"),
            ("'/f/state'", "true", 4, "state-dir must be a string"),
            ("'/f/state'", "''", 4, "state-dir must be an absolute path"),
            ("\"/f/run\"", "[\"/f/run\"]", 6, "run-dir must be a string"),
            ("\"error\"", "\"loud\"", 7, "log-level must be trace, debug"),
            ("\"error\"", "", 7, ""),
            ("run-dir = \"/f/run\"", "[disks]\nrun-dir = \"/f/run\"", 6, "the key disks is not known"),
            ("run-dir", "state-dir", 6, ""),
        ]
    )
    func refuses(part: String, other: String, line: Int, sentence: String) throws {
        let broken = Self.whole.replacing(part, with: other)
        try #require(broken != Self.whole)
        // Also where something counts before the file: what is wrong in it is not put off to the day it counts.
        let options: [DaemonSetting: String] = [
            .socket: "/o", .socketGroup: "o", .stateDirectory: "/o", .runDirectory: "/o", .logLevel: "info",
        ]
        for options in [[:], options] {
            let error = #expect(throws: RPCError.self) { _ = try read(broken, options: options) }
            #expect(error?.code == .fixConfiguration)
            #expect(
                error?.message.contains("/vdrived.toml, line \(line): \(sentence)") == true,
                "\(error?.message ?? "")"
            )
        }
    }

    @Test("wrong values elsewhere are refused with their place")
    func refusesElsewhere() throws {
        let option = #expect(throws: RPCError.self) { _ = try read(options: [.logLevel: "loud"]) }
        #expect(option?.message.hasPrefix("--log-level must be trace,") == true, "\(option?.message ?? "")")
        let variable = #expect(throws: RPCError.self) { _ = try read(environment: ["VDRIVE_STATE_DIR": "state"]) }
        #expect(variable?.message == "VDRIVE_STATE_DIR must be an absolute path, and is state.")
        // An empty variable is none.
        #expect(try read(environment: ["VDRIVE_STATE_DIR": ""])[.stateDirectory].source == .default)
    }

    @Test("a file that was named must be there; the option counts before the variable")
    func named() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("log-level = 'debug'\n", to: "named.toml")
        func read(_ option: String?, _ variable: String?) throws -> DaemonConfiguration {
            try DaemonConfiguration(
                options: [:],
                configOption: option,
                variable: { $0 == "VDRIVE_CONFIG" ? variable : nil },
                standardFile: "\(folder.path)/none"
            )
        }
        #expect(try read(path, "\(folder.path)/none").file == DaemonConfig.Setting(path, .commandLine))
        #expect(try read(nil, path).file == DaemonConfig.Setting(path, .environment))
        #expect(try read(nil, path).logLevel == .debug)
        #expect(try read(nil, "").file.value == nil)
        for missing in ["\(folder.path)/none", folder.path, ""] {
            let error = #expect(throws: RPCError.self) { _ = try read(missing, nil) }
            #expect(error?.code == .fixConfiguration)
        }
        // At the usual place something that cannot be read is no missing file.
        #expect(throws: RPCError.self) {
            _ = try DaemonConfiguration(
                options: [:],
                configOption: nil,
                variable: { _ in nil },
                standardFile: folder.path
            )
        }
    }

    @Test("the report says what is served, and no word more than the settings")
    func report() throws {
        let folder = try ScratchFolder()
        let own = try ListeningSocket(path: "\(folder.path)/s")
        let report = try read(Self.whole).report(serving: own)
        #expect(report.socket == DaemonConfig.Setting("/f/socket", .file))
        #expect(report.socketGroup.value == "files" && report.stateDirectory.value == "/f/state")
        #expect(report.runDirectory.value == "/f/run" && report.logLevel.value == "error")
    }

    @Test("the example says what is usual, and sets the group alone")
    func example() throws {
        let text = try readText("\(Self.contrib)/vdrived.toml") + "\n"
        #expect(try read(text)[.socketGroup] == DaemonConfig.Setting("vdrive", .file))
        // Each line that is commented out is a setting, with its usual value.
        let bare = text.replacing(#/(?m)^#(?<line>[a-z-]+ = )/#) { "\($0.line)" }
        let configuration = try read(bare)
        for setting in DaemonSetting.allCases {
            #expect(configuration[setting].source == .file, "\(setting.key)")
            #expect(setting == .socketGroup || configuration[setting].value == setting.standard, "\(setting.key)")
        }
    }

    private static var contrib: String {
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/\(parts.joined(separator: "/"))/contrib/etc"
    }
}
