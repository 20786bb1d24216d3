import ArgumentParser
import VDriveClient
import VDriveProtocol

struct Events: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what happens, one line each, until Ctrl-C.",
        discussion: """
            Each line has the time, the event's number, its type, the disk, and what it tells; with --json it is what \
            the daemon sends. Numbers that are left out belong to other events, or to progress that a later line has \
            overtaken; when events are lost, a line says so.
            """
    )

    @Option(help: ArgumentHelp("Only these, such as disk.state; may be repeated.", valueName: "type"))
    var type: [EventType] = []
    @Option(help: ArgumentHelp("Only what concerns these disks; may be repeated.", valueName: "name"))
    var disk: [String] = []
    @Option(help: ArgumentHelp("Also what came after this number; 0 for all that is still known.", valueName: "number"))
    var since: UInt64?
    @Flag(help: "Print each event as one line of JSON.") var json = false
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        Watch.endWellAtInterrupt()
        var daemon = try ControlConnection(path: connection.socket)
        let parameters = EventsSubscribe.Parameters(
            types: type.isEmpty ? nil : type,
            disks: disk.isEmpty ? nil : disk,
            since: since
        )
        _ = try daemon.call(EventsSubscribe.self, parameters)
        while true {
            let notification = try daemon.nextNotification()
            if json {
                show(notification.params.text + "\n")
            } else if let line = Self.line(notification) {
                show(line.plain + "\n")
            }
        }
    }

    private static func line(_ notification: RPCNotification) -> String? {
        switch NotificationName(rawValue: notification.method) {
        case .event:
            guard let event: EventNotification = try? notification.params.decode() else { return nil }
            return line(event.event)
        case .gap:
            guard let gap: EventGap = try? notification.params.decode() else { return nil }
            return "lost: up to \(gap.count) events, \(gap.from) to \(gap.to)"
        case nil: return nil
        }
    }

    private static func line(_ event: Event) -> String {
        let words = [
            event.time, "\(event.sequence)", event.type, event.disk ?? "-", event.payload.map(text) ?? event.data.text,
        ]
        return words.filter { !$0.isEmpty }.joined(separator: " ")
    }

    private static func text(_ payload: EventPayload) -> String {
        switch payload {
        case .diskAdded(let change): return change.state.rawValue
        case .diskRemoved: return ""
        case .diskState(let change):
            let why = change.error.map { ": \($0)" } ?? ""
            return "\(change.previous?.rawValue ?? "-") → \(change.state.rawValue)\(why)"
        case .diskWarning(let warning): return "\(warning.kind): \(warning.message ?? "over")"
        case .diskDamaged(let lost): return "\(lost.object), \(lost.total) in all"
        case .remoteState(let change): return "\(change.previous) → \(change.state)"
        case .uploadCommit(let commit):
            return "epoch \(commit.epoch), \(commit.chunks) chunks, \(ByteSize.text(commit.bytes))"
        case .cachePressure(let pressure): return pressure.writersWait ? "writers wait" : "over"
        case .jobStarted(let job): return "\(job.id) \(job.kind)"
        case .jobProgress(let job): return "\(job.id) \(job.kind) \(progress(job.progress))"
        case .jobEnded(let job):
            var why = ""
            if case .string(let message)? = job.error?["message"] { why = ": \(message)" }
            return "\(job.id) \(job.kind) \(job.state.rawValue)\(why)"
        case .daemonStopping: return ""
        }
    }

    private static func progress(_ progress: JobProgress) -> String {
        guard let total = progress.total, total > 0 else { return progress.phase ?? "" }
        return "\(Int(Double(progress.done) / Double(total) * 100)) %"
    }
}

extension EventType: ExpressibleByArgument {}
