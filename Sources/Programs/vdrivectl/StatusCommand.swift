import ArgumentParser
import FoundationEssentials
import VDriveClient
import VDriveProtocol

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows one disk, or all.",
        discussion: """
            With --watch it goes on until Ctrl-C: in place on a terminal; elsewhere a line for each disk each time, \
            with the time in front, and with --json the result each time.
            """
    )

    private static let columns = ["NAME", "STATE", "SIZE", "ALLOCATED", "CACHE", "DIRTY", "MOUNT", "REMOTE"]

    @Argument(help: "The disk's name.") var name: String?
    @Option(
        defaultAsFlag: 2,
        help: ArgumentHelp("Show it again after so many seconds, 0.1 to 3600.", valueName: "seconds")
    )
    var watch: Double?
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if let watch, !(0.1...3600).contains(watch) {
            throw ValidationError("--watch takes 0.1 to 3600 seconds.")
        }
    }

    func run() throws {
        let style = Style.standardOutput
        guard let watch else {
            print(try text(style: style))
            return
        }
        let isRedrawn = style.isTerminal && !output.json
        try Watch(seconds: watch, isRedrawn: isRedrawn).run { isFirst in
            isRedrawn || output.json
                ? try text(style: style)
                : try lines(style: style, isFirst: isFirst)
        }
    }

    private func text(style: Style) throws -> String {
        var daemon = try ControlConnection(path: connection.socket)
        if let name {
            let answer = try daemon.answer(to: DiskStatusOf.self, DiskNameParameters(name: name))
            if output.json { return answer.text }
            return Self.details(try ControlConnection.decode(DiskStatusOf.self, from: answer), style: style)
        }
        let answer = try daemon.answer(to: DiskList.self, NoParameters())
        if output.json { return answer.text }
        let disks = try ControlConnection.decode(DiskList.self, from: answer).disks
        guard !disks.isEmpty else { return "no disks; make one with vdrivectl create" }
        var table = Table(columns: Self.columns, style: style)
        for disk in disks {
            let remote = Self.isAway(disk) ? Colour(remoteState: disk.remote.state) : nil
            table.add(Self.row(disk), colours: [1: Colour(disk.state), Self.columns.count - 1: remote])
        }
        return table.text
    }

    /// One line a disk, as a log would have it.
    private func lines(style: Style, isFirst: Bool) throws -> String {
        let disks =
            try name.map { [try connection.call(DiskStatusOf.self, DiskNameParameters(name: $0))] }
            ?? connection.call(DiskList.self, NoParameters()).disks
        var table = Table(columns: isFirst ? ["TIME"] + Self.columns : nil, style: style)
        let time = Date.now.formatted(.iso8601)
        for disk in disks { table.add([time] + Self.row(disk)) }
        return table.text
    }

    private static func row(_ disk: DiskStatus) -> [String] {
        [
            disk.name,
            disk.state.rawValue,
            ByteSize.text(disk.sizeBytes),
            size(disk.allocatedBytes),
            size(disk.cache.usedBytes),
            size(disk.cache.dirtyBytes),
            disk.mountPoint ?? disk.image ?? "-",
            isAway(disk) ? "\(disk.remote.url) (\(disk.remote.state ?? ""))" : disk.remote.url,
        ]
    }

    private static func isAway(_ disk: DiskStatus) -> Bool { disk.remote.state.map { $0 != "online" } ?? false }

    private static func details(_ disk: DiskStatus, style: Style) -> String {
        var table = Table(columns: nil, style: style)
        func add(_ name: String, _ value: String?, _ colour: Colour? = nil) {
            table.add([name, value ?? "-"], colours: [1: value == nil ? nil : colour])
        }
        add("name", disk.name)
        add("uuid", disk.uuid)
        add("state", disk.state.rawValue, Colour(disk.state))
        add("last error", disk.lastError, .red)
        for warning in disk.warnings ?? [] { add("warning", warning, .yellow) }
        if let damaged = disk.damaged, damaged.total > 0 {
            add("lost objects", "\(damaged.total): \(damaged.objects.joined(separator: " "))", .red)
        }
        add("image", disk.image)
        add("device", disk.device)
        add("mounted at", disk.mountPoint)
        add("filesystem", disk.filesystem)
        if disk.readOnly { add("access", "read-only") }
        add("size", ByteSize.text(disk.sizeBytes))
        add("chunk size", ByteSize.text(UInt64(disk.chunkBytes)))
        add("allocated", size(disk.allocatedBytes))
        add("cache limit", ByteSize.text(disk.cache.limitBytes))
        add("cache used", size(disk.cache.usedBytes))
        add("cache policy", disk.cachePolicy.rawValue)
        add("dirty", size(disk.cache.dirtyBytes))
        add("pinned", size(disk.cache.pinnedBytes))
        add("to upload", size(disk.upload.pendingBytes))
        if disk.upload.paused == true { add("uploads", "paused", .yellow) }
        add("durability", disk.durability.rawValue)
        add("upload interval", "\(disk.uploadIntervalSeconds) s")
        add("term", disk.term.map { "\($0)" })
        add("epoch", disk.epoch.map { "\($0)" })
        add("remote", disk.remote.url)
        add("remote state", disk.remote.state, Colour(remoteState: disk.remote.state))
        return table.text
    }

    private static func size(_ bytes: UInt64?) -> String { bytes.map(ByteSize.text) ?? "-" }
}
