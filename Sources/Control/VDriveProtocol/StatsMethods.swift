/// `stats.get`: all that a scrape needs, in one call. It answers from memory: neither a remote nor a disk that hangs
/// holds it up.
package enum StatsGet: RPCMethod {
    package static let name = MethodName.statsGet

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        /// One disk alone; all of them when left out.
        package var name: String?

        package init(name: String? = nil) {
            self.name = name
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var daemon: DaemonStats
        /// By name.
        package var disks: [DiskStats]
        /// The upper bounds that the `buckets` of all latencies belong to, rising.
        package var latencyBoundsSeconds: [Double]

        package init(daemon: DaemonStats, disks: [DiskStats], latencyBoundsSeconds: [Double]) {
            self.daemon = daemon
            self.disks = disks
            self.latencyBoundsSeconds = latencyBoundsSeconds
        }
    }
}

/// What the daemon itself takes and does.
package struct DaemonStats: Codable, Equatable, Sendable {
    package var version: String
    package var uptimeSeconds: Double
    /// Of its memory, what is in RAM.
    package var residentBytes: UInt64
    package var openFiles: Int
    /// User and system time of all its threads.
    package var cpuSeconds: Double
    /// Of the control socket, now, and since the start.
    package var connections: Int
    package var connectionsAccepted: UInt64
    /// Calls answered since the start, notifications included, and those of them that failed.
    package var calls: UInt64
    package var callsFailed: UInt64

    package init(
        version: String,
        uptimeSeconds: Double,
        residentBytes: UInt64,
        openFiles: Int,
        cpuSeconds: Double,
        connections: Int,
        connectionsAccepted: UInt64,
        calls: UInt64,
        callsFailed: UInt64
    ) {
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.residentBytes = residentBytes
        self.openFiles = openFiles
        self.cpuSeconds = cpuSeconds
        self.connections = connections
        self.connectionsAccepted = connectionsAccepted
        self.calls = calls
        self.callsFailed = callsFailed
    }
}
