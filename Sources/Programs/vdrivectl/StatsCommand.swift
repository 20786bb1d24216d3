import ArgumentParser
import FoundationEssentials
import VDriveClient
import VDriveProtocol

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows what one disk does, or all: requests, hits, latencies, remote traffic.",
        discussion: """
            Rates are averages over the last 10 seconds, with --watch over the last second; latencies are of all \
            requests since the disk was attached. With --watch it goes on until Ctrl-C: in place on a terminal; \
            elsewhere a line for each disk each time, with the time in front, and with --json the result each time.
            """
    )

    private static let columns = [
        "NAME", "STATE", "READS/S", "WRITES/S", "READ", "WRITTEN", "HITS", "HIT P99", "MISS P99", "FLUSH P99",
        "RECEIVED",
        "SENT",
    ]

    @Argument(help: "The disk's name.") var name: String?
    @Option(
        defaultAsFlag: 2,
        help: ArgumentHelp("Show it again after so many seconds, 0.1 to 3600.", valueName: "seconds")
    )
    var watch: Double?
    @Option(help: ArgumentHelp("With --watch: how many seconds, instead of a number behind it.", valueName: "seconds"))
    var interval: Double?
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if let watch, !(0.1...3600).contains(interval ?? watch) {
            throw ValidationError("--watch takes 0.1 to 3600 seconds.")
        }
        if interval != nil, watch == nil { throw ValidationError("--interval needs --watch.") }
    }

    func run() throws {
        let style = Style.standardOutput
        guard let watch else {
            print(try text(style: style, window: 10))
            return
        }
        let isRedrawn = style.isTerminal && !output.json
        try Watch(seconds: interval ?? watch, isRedrawn: isRedrawn).run { isFirst in
            isRedrawn || output.json
                ? try text(style: style, window: 1)
                : try lines(style: style, isFirst: isFirst)
        }
    }

    private func text(style: Style, window: Double) throws -> String {
        var daemon = try ControlConnection(path: connection.socket)
        let answer = try daemon.answer(to: StatsGet.self, StatsGet.Parameters(name: name))
        if output.json { return answer.text }
        let disks = try ControlConnection.decode(StatsGet.self, from: answer).disks
        if name != nil, let disk = disks.first { return DiskReport(disk, style: style).text }
        guard !disks.isEmpty else { return "no disks; make one with vdrivectl create" }
        var table = Table(columns: Self.columns, style: style)
        for disk in disks { table.add(Self.row(disk, window: window), colours: [1: Colour(disk.status.state)]) }
        return table.text
    }

    /// One line a disk, as a log would have it.
    private func lines(style: Style, isFirst: Bool) throws -> String {
        let disks = try connection.call(StatsGet.self, StatsGet.Parameters(name: name)).disks
        var table = Table(columns: isFirst ? ["TIME"] + Self.columns : nil, style: style)
        let time = Date.now.formatted(.iso8601)
        for disk in disks { table.add([time] + Self.row(disk, window: 1)) }
        return table.text
    }

    private static func row(_ disk: DiskStats, window: Double) -> [String] {
        let head = [disk.status.name, disk.status.state.rawValue]
        guard let rates = disk.rates?.first(where: { $0.windowSeconds == window }), let latencies = disk.latencies
        else { return head + Array(repeating: "-", count: columns.count - head.count) }
        return head + [
            Figure.perSecond(rates.readHitsPerSecond + rates.readMissesPerSecond),
            Figure.perSecond(rates.writeHitsPerSecond + rates.writeMissesPerSecond),
            Figure.throughput(rates.readBytesPerSecond),
            Figure.throughput(rates.writtenBytesPerSecond),
            Figure.share(rates.readHitsPerSecond, besides: rates.readMissesPerSecond),
            Figure.latency(latencies.readHit) { $0.p99Seconds },
            Figure.latency(latencies.readMiss) { $0.p99Seconds },
            Figure.latency(latencies.flush) { $0.p99Seconds },
            Figure.throughput(rates.receivedBytesPerSecond),
            Figure.throughput(rates.sentBytesPerSecond),
        ]
    }
}
