import VDriveClient
import VDriveProtocol

/// What the daemon tells about itself and its disks.
struct DaemonChecks {
    /// All that is asked here is answered from memory.
    private static let patienceSeconds = 5

    /// As `--socket` names it.
    let socket: String?
    /// The only disk to look at; nil for all.
    let disk: String?

    /// - Returns: what was found, and the daemon's process, if it answers.
    func findings() -> (findings: [Finding], pid: Int32?) {
        do throws(ControlError) {
            var daemon = try ControlConnection(path: socket, timeoutSeconds: Self.patienceSeconds)
            let version = try daemon.call(DaemonVersion.self)
            let health = try daemon.call(DaemonHealth.self)
            let all = try daemon.call(DiskList.self).disks
            // What is said of a disk is found again there, with what to do about it.
            let general = health.problems.filter { problem in
                !all.contains { problem.hasPrefix("\($0.name): ") || problem.hasPrefix("\($0.name) is ") }
            }
            let findings =
                [Self.of(version)]
                + general.map {
                    Finding.problem("daemon", Self.clause($0), advice: "see the daemon's log")
                }
            return (findings + disks(all), version.pid)
        } catch {
            return ([Self.of(error)], nil)
        }
    }

    /// Why the daemon does not answer. The sentence's second half says what to do, where there is one.
    private static func of(_ error: ControlError) -> Finding {
        let parts = Self.clause(error.description).split(separator: "; ", maxSplits: 1).map(String.init)
        let advice = parts.count > 1 ? parts[1] : "restart vdrived, and see its log"
        return .problem("daemon", parts.first ?? "it does not answer", advice: advice)
    }

    private static func of(_ version: DaemonVersion.Output) -> Finding {
        let text = "vdrived \(version.version) answers, process \(version.pid)"
        if version.protocol != DaemonVersion.protocolVersion {
            return .problem(
                "daemon",
                "\(text), but it speaks protocol \(version.protocol), and this vdrivectl "
                    + "\(DaemonVersion.protocolVersion)",
                advice: "install both from one release, and restart the daemon"
            )
        }
        if version.version != DaemonVersion.release {
            return .warning(
                "daemon",
                "\(text), but this vdrivectl is \(DaemonVersion.release)",
                advice: "install both from one release, and restart the daemon"
            )
        }
        return .ok("daemon", text)
    }

    private func disks(_ all: [DiskStatus]) -> [Finding] {
        guard let disk else { return all.flatMap(Self.of) }
        guard let status = all.first(where: { $0.name == disk }) else {
            return [
                .problem(
                    "disk \(disk)",
                    "there is no such disk",
                    advice: "`vdrivectl status` shows all; make it with create or import"
                )
            ]
        }
        return Self.of(status)
    }

    private static func of(_ disk: DiskStatus) -> [Finding] {
        let subject = "disk \(disk.name)"
        var findings = [ofState(disk, subject: subject)]
        if disk.state == .attached { findings.append(ofRemote(disk, subject: subject)) }
        if let damaged = disk.damaged, damaged.total > 0 {
            findings.append(
                .problem(
                    subject,
                    "objects are missing or damaged on the remote: \(damaged.total), such as "
                        + damaged.objects.prefix(3).joined(separator: " "),
                    advice: "bring them back from a copy of the remote; reads of their data fail meanwhile"
                )
            )
        }
        findings += (disk.warnings ?? []).map {
            .warning(subject, clause($0), advice: "see `vdrivectl status \(disk.name)` and the daemon's log")
        }
        return findings
    }

    private static func ofState(_ disk: DiskStatus, subject: String) -> Finding {
        let text = disk.state.rawValue + (disk.lastError.map { ": \(clause($0))" } ?? "")
        switch disk.state {
        case .attached where disk.lastError == nil, .detached where disk.lastError == nil:
            return .ok(subject, text)
        case .attached, .detached, .attaching, .detaching, .destroying:
            return .warning(subject, text, advice: "look again soon: `vdrivectl status \(disk.name) --watch`")
        case .fenced:
            let advice = "detach it here; attach --takeover takes it back from the other owner"
            return .problem(subject, text, advice: advice)
        case .diverged:
            let advice = "choose: attach --discard-local, or attach --keep-local-as NAME"
            return .problem(subject, text, advice: advice)
        case .failed:
            let advice = "remove the cause, then `vdrivectl attach \(disk.name)`"
            return .problem(subject, text, advice: advice)
        }
    }

    private static func ofRemote(_ disk: DiskStatus, subject: String) -> Finding {
        let text = "its remote \(disk.remote.url) is \(disk.remote.state ?? "not asked yet")"
        switch disk.remote.state {
        case "offline":
            return .problem(subject, text, advice: "check the server, the line to it and the credentials")
        case "degraded":
            return .warning(subject, text, advice: "some attempts failed lately; the daemon's log says which")
        default:
            return .ok(subject, text)
        }
    }

    /// A sentence without its full stop.
    private static func clause(_ sentence: String) -> String {
        sentence.hasSuffix(".") ? String(sentence.dropLast()) : sentence
    }
}
