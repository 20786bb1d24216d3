import VDriveProtocol

extension Exposition {
    /// The states of a remote, as a status tells them.
    private static let remoteStates = ["online", "degraded", "offline"]

    /// - Parameter stats: nil when the daemon did not answer; then nothing but that is told.
    init(_ stats: StatsGet.Output?) {
        guard let stats else {
            add(Metrics.up, [], 0)
            return
        }
        add(Metrics.up, [], 1)
        add(stats.daemon)
        for disk in stats.disks {
            add(disk.status)
            let name = disk.status.name
            if let counters = disk.counters { add(counters, of: name) }
            if let latencies = disk.latencies { add(latencies, of: name, bounds: stats.latencyBoundsSeconds) }
        }
    }

    private mutating func add(_ daemon: DaemonStats) {
        add(Metrics.buildInfo, [daemon.version], 1)
        add(Metrics.uptime, [], daemon.uptimeSeconds)
        add(Metrics.resident, [], daemon.residentBytes)
        add(Metrics.openFiles, [], daemon.openFiles)
        add(Metrics.cpu, [], daemon.cpuSeconds)
        add(Metrics.connections, [], daemon.connections)
        add(Metrics.accepted, [], daemon.connectionsAccepted)
        add(Metrics.calls, [], daemon.calls)
        add(Metrics.callsFailed, [], daemon.callsFailed)
    }

    private mutating func add(_ status: DiskStatus) {
        let disk = [status.name]
        add(Metrics.diskInfo, [status.name, status.uuid, status.remote.url], 1)
        add(Metrics.diskState, disk, state: status.state.rawValue, of: DiskState.allCases.map(\.rawValue))
        add(Metrics.size, disk, status.sizeBytes)
        add(Metrics.cacheLimit, disk, status.cache.limitBytes)
        if let bytes = status.allocatedBytes { add(Metrics.allocated, disk, bytes) }
        if let warnings = status.warnings { add(Metrics.warnings, disk, warnings.count) }
        if let damaged = status.damaged { add(Metrics.damaged, disk, damaged.total) }
        if let epoch = status.epoch { add(Metrics.epoch, disk, epoch) }
        if let bytes = status.cache.usedBytes { add(Metrics.cacheUsed, disk, bytes) }
        if let bytes = status.cache.dirtyBytes { add(Metrics.cacheDirty, disk, bytes) }
        if let bytes = status.cache.pinnedBytes { add(Metrics.cachePinned, disk, bytes) }
        if let bytes = status.upload.pendingBytes { add(Metrics.pending, disk, bytes) }
        if let state = status.remote.state { add(Metrics.remoteState, disk, state: state, of: Self.remoteStates) }
    }

    private mutating func add(_ counters: DiskStats.Counters, of disk: String) {
        for (operation, cache, count, errors) in [
            ("read", "hit", counters.readHits, nil), ("read", "miss", counters.readMisses, counters.readErrors),
            ("write", "hit", counters.writeHits, nil), ("write", "miss", counters.writeMisses, counters.writeErrors),
            ("flush", "none", counters.flushes, counters.flushErrors),
            ("trim", "none", counters.trims, counters.trimErrors),
        ] as [(String, String, UInt64, UInt64?)] {
            add(Metrics.requests, [disk, operation, cache], count)
            if let errors { add(Metrics.requestErrors, [disk, operation], errors) }
        }
        add(Metrics.requestBytes, [disk, "read"], counters.readBytes)
        add(Metrics.requestBytes, [disk, "write"], counters.writtenBytes)
        add(Metrics.requestBytes, [disk, "trim"], counters.trimmedBytes)
        add(Metrics.fills, [disk], counters.fills)
        add(Metrics.filled, [disk], counters.filledBytes)
        add(Metrics.readAhead, [disk], counters.readAheadBytes)
        add(Metrics.readAheadUnused, [disk], counters.readAheadUnusedBytes)
        add(Metrics.evictedChunks, [disk], counters.evictedChunks)
        add(Metrics.evicted, [disk], counters.evictedBytes)
        add(Metrics.commits, [disk], counters.commits)
        add(Metrics.uploadedChunks, [disk], counters.uploadedChunks)
        add(Metrics.uploadedRaw, [disk], counters.uploadedRawBytes)
        add(Metrics.uploadedStored, [disk], counters.uploadedStoredBytes)
        for (operation, tally) in counters.remote.operations {
            add(Metrics.remoteRequests, [disk, operation], tally.requests)
            add(Metrics.remoteFailures, [disk, operation], tally.failures)
        }
        add(Metrics.remoteRetries, [disk], counters.remote.retries)
        add(Metrics.remoteReceived, [disk], counters.remote.receivedBytes)
        add(Metrics.remoteSent, [disk], counters.remote.sentBytes)
    }

    private mutating func add(_ latencies: DiskStats.Latencies, of disk: String, bounds: [Double]) {
        for (operation, cache, latency) in [
            ("read", "hit", latencies.readHit), ("read", "miss", latencies.readMiss),
            ("write", "hit", latencies.writeHit), ("write", "miss", latencies.writeMiss),
            ("flush", "none", latencies.flush),
        ] {
            add(Metrics.requestDuration, [disk, operation, cache], latency, bounds: bounds)
        }
        add(Metrics.commitDuration, [disk], latencies.commit, bounds: bounds)
        for (operation, latency) in [
            ("get", latencies.remoteGet), ("put", latencies.remotePut), ("other", latencies.remoteOther),
        ] {
            add(Metrics.remoteDuration, [disk, operation], latency, bounds: bounds)
        }
    }
}
