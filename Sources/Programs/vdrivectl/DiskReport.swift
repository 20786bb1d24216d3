import VDriveClient
import VDriveProtocol

/// One disk's statistics as a page: sums, rates and latencies.
struct DiskReport {
    private let disk: DiskStats
    private let style: Style

    init(_ disk: DiskStats, style: Style) {
        self.disk = disk
        self.style = style
    }

    var text: String {
        guard let counters = disk.counters, let rates = disk.rates, let latencies = disk.latencies else {
            return "\(disk.status.name.plain) is \(disk.status.state.rawValue); only an attached disk has statistics"
        }
        return [sums(counters), self.rates(rates), self.latencies(latencies)].joined(separator: "\n\n")
    }

    private func sums(_ counters: DiskStats.Counters) -> String {
        var table = Table(columns: nil, style: style)
        func bytes(_ count: UInt64?) -> String { count.map(ByteSize.text) ?? "-" }
        let status = disk.status
        let cache = status.cache
        let remote = counters.remote
        let failures = remote.operations.reduce(0) { $0 + $1.tally.failures }
        let errors = counters.readErrors + counters.writeErrors + counters.flushErrors + counters.trimErrors
        let reads = Double(counters.readHits)
        table.add(["name", status.name])
        table.add(["state", status.state.rawValue], colours: [1: Colour(status.state)])
        table.add([
            "cache", "\(bytes(cache.usedBytes)) of \(bytes(cache.limitBytes)), \(bytes(cache.dirtyBytes)) dirty",
        ])
        table.add(["reads", "\(counters.readHits + counters.readMisses), \(bytes(counters.readBytes))"])
        table.add(["read hits", Figure.share(reads, besides: Double(counters.readMisses))])
        table.add(["writes", "\(counters.writeHits + counters.writeMisses), \(bytes(counters.writtenBytes))"])
        table.add(["flushes", "\(counters.flushes)"])
        table.add(["trims", "\(counters.trims), \(bytes(counters.trimmedBytes))"])
        table.add(["errors", "\(errors)"], colours: [1: errors > 0 ? .red : nil])
        table.add(["filled", bytes(counters.filledBytes)])
        let unused = bytes(counters.readAheadUnusedBytes)
        table.add(["read ahead", "\(bytes(counters.readAheadBytes)), \(unused) of it evicted unread"])
        table.add(["evicted", bytes(counters.evictedBytes)])
        let ratio = "\(bytes(counters.uploadedRawBytes)) as \(bytes(counters.uploadedStoredBytes))"
        table.add(["uploaded", "\(counters.uploadedChunks) chunks, \(ratio), in \(counters.commits) commits"])
        table.add(["to upload", bytes(status.upload.pendingBytes)])
        let state = status.remote.state
        table.add(["remote state", state ?? "-"], colours: [1: Colour(remoteState: state)])
        let requests = remote.operations.reduce(0) { $0 + $1.tally.requests }
        table.add(["remote requests", "\(requests), \(failures) failed, \(remote.retries) retries"])
        table.add(["remote traffic", "\(bytes(remote.receivedBytes)) received, \(bytes(remote.sentBytes)) sent"])
        return table.text
    }

    private func rates(_ rates: [DiskStats.Rates]) -> String {
        var table = Table(columns: ["OVER"] + rates.map { "\(Int($0.windowSeconds)) s" }, style: style)
        func add(_ name: String, _ text: (DiskStats.Rates) -> String) { table.add([name] + rates.map(text)) }
        add("reads/s") { Figure.perSecond($0.readHitsPerSecond + $0.readMissesPerSecond) }
        add("writes/s") { Figure.perSecond($0.writeHitsPerSecond + $0.writeMissesPerSecond) }
        add("flushes/s") { Figure.perSecond($0.flushesPerSecond) }
        add("read hits") { Figure.share($0.readHitsPerSecond, besides: $0.readMissesPerSecond) }
        add("read") { Figure.throughput($0.readBytesPerSecond) }
        add("written") { Figure.throughput($0.writtenBytesPerSecond) }
        add("remote requests/s") { Figure.perSecond($0.remoteRequestsPerSecond) }
        add("received") { Figure.throughput($0.receivedBytesPerSecond) }
        add("sent") { Figure.throughput($0.sentBytesPerSecond) }
        return table.text
    }

    private func latencies(_ latencies: DiskStats.Latencies) -> String {
        var table = Table(columns: ["LATENCY", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"], style: style)
        for (name, latency) in [
            ("read hit", latencies.readHit), ("read miss", latencies.readMiss), ("write hit", latencies.writeHit),
            ("write miss", latencies.writeMiss), ("flush", latencies.flush), ("commit", latencies.commit),
            ("remote get", latencies.remoteGet), ("remote put", latencies.remotePut),
            ("remote other", latencies.remoteOther),
        ] {
            let values: [(DiskStats.Latency) -> Double] = [
                \.meanSeconds, \.p50Seconds, \.p90Seconds, \.p99Seconds, \.p999Seconds, \.maxSeconds,
            ]
            table.add([name, "\(latency.count)"] + values.map { Figure.latency(latency, $0) })
        }
        return table.text
    }
}
