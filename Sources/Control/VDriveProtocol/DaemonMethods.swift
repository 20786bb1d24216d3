/// `daemon.version`: what runs, and for how long. The cheapest call; good as a sign of life.
package enum DaemonVersion: RPCMethod {
    package typealias Parameters = NoParameters
    package static let name = MethodName.daemonVersion

    package struct Output: Codable, Equatable, Sendable {
        /// The daemon's release, as in CHANGELOG.md.
        package var version: String
        /// The protocol's; it grows when a method changes in a way that old clients would misread.
        package var `protocol`: Int
        package var pid: Int32

        package init(version: String, protocol: Int, pid: Int32) {
            self.version = version
            self.protocol = `protocol`
            self.pid = pid
        }
    }

    /// The release that this tree builds.
    package static let release = "0.1.0"
    package static let protocolVersion = 1
}

/// `daemon.health`: whether the daemon and all its disks are well.
package enum DaemonHealth: RPCMethod {
    package typealias Parameters = NoParameters
    package static let name = MethodName.daemonHealth

    package struct Output: Codable, Equatable, Sendable {
        /// Whether no disk is in trouble.
        package var healthy: Bool
        package var uptimeSeconds: Double
        /// How many disks are in each state; states without a disk are left out.
        package var disks: [String: Int]
        /// One sentence for each trouble.
        package var problems: [String]

        package init(healthy: Bool, uptimeSeconds: Double, disks: [String: Int], problems: [String]) {
            self.healthy = healthy
            self.uptimeSeconds = uptimeSeconds
            self.disks = disks
            self.problems = problems
        }
    }
}

/// `daemon.config`: the daemon's settings, and where each comes from. Disks' settings are in `disk.status`.
package enum DaemonConfig: RPCMethod {
    package typealias Parameters = NoParameters
    package static let name = MethodName.daemonConfig

    /// Who has said what holds.
    package enum Source: String, Codable, CaseIterable, Sendable {
        case commandLine, environment, file
        /// Nobody: it is what is usual.
        case `default`
        /// Who started the daemon and passed the socket to it.
        case socketActivation
    }

    /// One setting. Both fields are always there.
    package struct Setting: Codable, Equatable, Sendable {
        /// Null: nothing is set.
        package var value: String?
        package var source: Source

        private enum CodingKeys: String, CodingKey {
            case value, source
        }

        package init(_ value: String?, _ source: Source) {
            self.value = value
            self.source = source
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(value, forKey: .value)
            try container.encode(source, forKey: .source)
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        /// `vdrived.toml`; null when there is none at the usual place.
        package var configFile: Setting
        /// The path of the control socket; null for one that was passed to the daemon and has none.
        package var socket: Setting
        /// The group whose members may use the socket; null: only root and the daemon's user may.
        package var socketGroup: Setting
        package var stateDirectory: Setting
        package var runDirectory: Setting
        package var logLevel: Setting

        package init(
            configFile: Setting,
            socket: Setting,
            socketGroup: Setting,
            stateDirectory: Setting,
            runDirectory: Setting,
            logLevel: Setting
        ) {
            self.configFile = configFile
            self.socket = socket
            self.socketGroup = socketGroup
            self.stateDirectory = stateDirectory
            self.runDirectory = runDirectory
            self.logLevel = logLevel
        }
    }
}
