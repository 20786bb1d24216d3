import Linux
import VDriveMeasure
import VDriveProtocol

/// The group `stats`.
package enum StatsMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        let started = MonotonicTime.nanoseconds
        let traffic = table.traffic
        table.add(StatsGet.self) { (params) throws(RPCError) in
            StatsGet.Output(
                daemon: try daemon(since: started, traffic.totals),
                disks: try await registry.stats(
                    of: try params.name.map { (name) throws(RPCError) in try DiskName(name) }
                ),
                latencyBoundsSeconds: LatencySummary.boundsSeconds
            )
        }
    }

    private static func daemon(since start: UInt64, _ traffic: ControlTraffic.Totals) throws(RPCError) -> DaemonStats {
        let usage: ProcessUsage
        do throws(Errno) {
            usage = try ProcessUsage.current()
        } catch {
            throw RPCError(.internal, "The kernel does not tell what the daemon uses: \(error).")
        }
        return DaemonStats(
            version: DaemonVersion.release,
            uptimeSeconds: Double(MonotonicTime.nanoseconds - start) / 1e9,
            residentBytes: usage.residentBytes,
            openFiles: usage.openFiles,
            cpuSeconds: usage.cpuSeconds,
            connections: traffic.connections,
            connectionsAccepted: traffic.connectionsAccepted,
            calls: traffic.calls,
            callsFailed: traffic.callsFailed
        )
    }
}
