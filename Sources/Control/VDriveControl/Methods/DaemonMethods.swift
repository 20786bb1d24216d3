import Glibc
package import VDriveProtocol

/// The group `daemon`.
package enum DaemonMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry, config: DaemonConfig.Output) {
        let started = ContinuousClock.now
        table.add(DaemonVersion.self) { (_) throws(RPCError) in
            DaemonVersion.Output(
                version: DaemonVersion.release,
                protocol: DaemonVersion.protocolVersion,
                pid: getpid()
            )
        }
        table.add(DaemonHealth.self) { (_) throws(RPCError) in
            let disks = await registry.list()
            let problems = await registry.problems() + disks.compactMap(problem)
            return DaemonHealth.Output(
                healthy: problems.isEmpty,
                uptimeSeconds: (ContinuousClock.now - started) / .seconds(1),
                disks: Dictionary(disks.map { ($0.state.rawValue, 1) }, uniquingKeysWith: +),
                problems: problems
            )
        }
        table.add(DaemonConfig.self) { (_) throws(RPCError) in config }
    }

    private static func problem(_ disk: DiskStatus) -> String? {
        switch disk.state {
        case .detached, .attaching, .attached, .detaching, .destroying: disk.lastError.map { "\(disk.name): \($0)" }
        case .fenced, .diverged, .failed: "\(disk.name) is \(disk.state.rawValue): \(disk.lastError ?? "see the log")"
        }
    }
}
