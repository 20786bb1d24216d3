import VDriveEngine
import VDriveMeasure
import VDriveProtocol
import VDriveStore

extension DiskStats {
    init(status: DiskStatus, activity: DiskActivity) {
        self.init(
            status: status,
            counters: Counters(activity.totals, activity.remote),
            rates: activity.rates.map { Rates($0) },
            latencies: Latencies(
                readHit: Latency(activity.readHit),
                readMiss: Latency(activity.readMiss),
                writeHit: Latency(activity.writeHit),
                writeMiss: Latency(activity.writeMiss),
                flush: Latency(activity.flush),
                commit: Latency(activity.commit),
                remoteGet: Latency(activity.remoteGet),
                remotePut: Latency(activity.remotePut),
                remoteOther: Latency(activity.remoteOther)
            )
        )
    }
}

extension DiskStats.Counters {
    fileprivate init(_ totals: Totals, _ meter: StoreMeter.Snapshot) {
        self.init()
        readHits = totals.readHits
        readMisses = totals.readMisses
        readErrors = totals.readErrors
        readBytes = totals.readBytes
        writeHits = totals.writeHits
        writeMisses = totals.writeMisses
        writeErrors = totals.writeErrors
        writtenBytes = totals.writtenBytes
        flushes = totals.flushes
        flushErrors = totals.flushErrors
        trims = totals.trims
        trimErrors = totals.trimErrors
        trimmedBytes = totals.trimmedBytes
        fills = totals.fills
        filledBytes = totals.filledBytes
        readAheadBytes = totals.readAheadBytes
        readAheadUnusedBytes = totals.readAheadUnusedBytes
        evictedChunks = totals.evictedChunks
        evictedBytes = totals.evictedBytes
        commits = totals.commits
        uploadedChunks = totals.uploadedChunks
        uploadedRawBytes = totals.uploadedRawBytes
        uploadedStoredBytes = totals.uploadedStoredBytes
        remote = DiskStats.Remote(meter)
    }
}

extension DiskStats.Remote {
    fileprivate init(_ meter: StoreMeter.Snapshot) {
        self.init()
        for operation in StoreOperation.allCases {
            let tally = meter.operations[operation] ?? StoreMeter.Tally()
            let counts = Operation(requests: tally.requests, failures: tally.failures)
            switch operation {
            case .get: get = counts
            case .put: put = counts
            case .length: length = counts
            case .delete: delete = counts
            case .list: list = counts
            case .claim: claim = counts
            case .quota: quota = counts
            }
        }
        retries = meter.retries
        receivedBytes = meter.bytesIn
        sentBytes = meter.bytesOut
    }
}

extension DiskStats.Rates {
    fileprivate init(_ rates: DiskActivity.Rates) {
        self.init(windowSeconds: rates.windowSeconds)
        readHitsPerSecond = rates.readHits
        readMissesPerSecond = rates.readMisses
        writeHitsPerSecond = rates.writeHits
        writeMissesPerSecond = rates.writeMisses
        flushesPerSecond = rates.flushes
        readBytesPerSecond = rates.readBytes
        writtenBytesPerSecond = rates.writtenBytes
        remoteRequestsPerSecond = rates.remoteRequests
        receivedBytesPerSecond = rates.receivedBytes
        sentBytesPerSecond = rates.sentBytes
    }
}

extension DiskStats.Latency {
    fileprivate init(_ summary: LatencySummary) {
        self.init()
        count = summary.count
        sumSeconds = summary.sumSeconds
        minSeconds = summary.minSeconds
        meanSeconds = summary.meanSeconds
        p50Seconds = summary.p50Seconds
        p90Seconds = summary.p90Seconds
        p99Seconds = summary.p99Seconds
        p999Seconds = summary.p999Seconds
        maxSeconds = summary.maxSeconds
        buckets = summary.countsWithinBounds
    }
}
