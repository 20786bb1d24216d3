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
