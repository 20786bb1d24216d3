/// One disk in `stats.get`: its status, and what it does. Nothing is ever set back but by an attach, which begins anew.
package struct DiskStats: Codable, Equatable, Sendable {
    /// As `disk.status` tells it, but for the look at the cache's filesystem.
    package var status: DiskStatus
    /// Null while the disk is not attached, as are the next two.
    package var counters: Counters?
    package var rates: [Rates]?
    package var latencies: Latencies?

    package init(status: DiskStatus, counters: Counters? = nil, rates: [Rates]? = nil, latencies: Latencies? = nil) {
        self.status = status
        self.counters = counters
        self.rates = rates
        self.latencies = latencies
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(status, forKey: .status)
        try container.encode(counters, forKey: .counters)
        try container.encode(rates, forKey: .rates)
        try container.encode(latencies, forKey: .latencies)
    }

    /// Since the disk was attached. All that ends in `Errors` is a part of the requests beside it.
    package struct Counters: Codable, Equatable, Sendable {
        /// Answered from what is on this machine, without waiting for anything.
        package var readHits: UInt64 = 0
        package var readMisses: UInt64 = 0
        package var readErrors: UInt64 = 0
        package var readBytes: UInt64 = 0
        package var writeHits: UInt64 = 0
        /// The first write to a clean chunk is one.
        package var writeMisses: UInt64 = 0
        package var writeErrors: UInt64 = 0
        package var writtenBytes: UInt64 = 0
        package var flushes: UInt64 = 0
        package var flushErrors: UInt64 = 0
        package var trims: UInt64 = 0
        package var trimErrors: UInt64 = 0
        package var trimmedBytes: UInt64 = 0
        /// Fetches from the remote into the cache.
        package var fills: UInt64 = 0
        package var filledBytes: UInt64 = 0
        /// Fetched before anybody asked, raw.
        package var readAheadBytes: UInt64 = 0
        /// Of these, evicted before anybody read them.
        package var readAheadUnusedBytes: UInt64 = 0
        package var evictedChunks: UInt64 = 0
        package var evictedBytes: UInt64 = 0
        package var commits: UInt64 = 0
        package var uploadedChunks: UInt64 = 0
        /// The uploaded chunks before and after compression.
        package var uploadedRawBytes: UInt64 = 0
        package var uploadedStoredBytes: UInt64 = 0
        package var remote = Remote()

        package init() {}
    }

    /// Attempts that ended, at the remote; a try and its retries are several.
    package struct Remote: Codable, Equatable, Sendable {
        package var get = Operation()
        package var put = Operation()
        package var length = Operation()
        package var delete = Operation()
        package var list = Operation()
        package var claim = Operation()
        package var quota = Operation()
        package var retries: UInt64 = 0
        /// Of objects, without headers.
        package var receivedBytes: UInt64 = 0
        package var sentBytes: UInt64 = 0

        package struct Operation: Codable, Equatable, Sendable {
            package var requests: UInt64 = 0
            /// A missing object is an answer, and no failure.
            package var failures: UInt64 = 0

            package init(requests: UInt64 = 0, failures: UInt64 = 0) {
                self.requests = requests
                self.failures = failures
            }
        }

        package init() {}

        /// Each by its name.
        package var operations: [(name: String, tally: Operation)] {
            [
                ("get", get), ("put", put), ("length", length), ("delete", delete), ("list", list), ("claim", claim),
                ("quota", quota),
            ]
        }
    }

    /// Averages over a window that ends now; over the time since the attach while that is shorter.
    package struct Rates: Codable, Equatable, Sendable {
        /// 1, 10 or 60.
        package var windowSeconds: Double
        package var readHitsPerSecond = 0.0
        package var readMissesPerSecond = 0.0
        package var writeHitsPerSecond = 0.0
        package var writeMissesPerSecond = 0.0
        package var flushesPerSecond = 0.0
        package var readBytesPerSecond = 0.0
        package var writtenBytesPerSecond = 0.0
        package var remoteRequestsPerSecond = 0.0
        package var receivedBytesPerSecond = 0.0
        package var sentBytesPerSecond = 0.0

        package init(windowSeconds: Double) {
            self.windowSeconds = windowSeconds
        }
    }

    /// How long requests took. Of the hits the first 1024 are timed, then one in 64, which counts 64 times.
    package struct Latencies: Codable, Equatable, Sendable {
        package var readHit: Latency
        package var readMiss: Latency
        package var writeHit: Latency
        package var writeMiss: Latency
        package var flush: Latency
        /// From the seal of an epoch until its commit counts.
        package var commit: Latency
        /// One attempt each, also those that failed.
        package var remoteGet: Latency
        package var remotePut: Latency
        package var remoteOther: Latency

        package init(
            readHit: Latency,
            readMiss: Latency,
            writeHit: Latency,
            writeMiss: Latency,
            flush: Latency,
            commit: Latency,
            remoteGet: Latency,
            remotePut: Latency,
            remoteOther: Latency
        ) {
            self.readHit = readHit
            self.readMiss = readMiss
            self.writeHit = writeHit
            self.writeMiss = writeMiss
            self.flush = flush
            self.commit = commit
            self.remoteGet = remoteGet
            self.remotePut = remotePut
            self.remoteOther = remoteOther
        }
    }

    /// A distribution since the attach; every value within 1 %, all zero while the count is 0.
    package struct Latency: Codable, Equatable, Sendable {
        package var count: UInt64 = 0
        package var sumSeconds = 0.0
        package var minSeconds = 0.0
        package var meanSeconds = 0.0
        package var p50Seconds = 0.0
        package var p90Seconds = 0.0
        package var p99Seconds = 0.0
        package var p999Seconds = 0.0
        package var maxSeconds = 0.0
        /// How many took at most as long as each of `latencyBoundsSeconds`.
        package var buckets: [UInt64] = []

        package init() {}
    }
}
