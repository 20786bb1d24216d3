import Foundation
import Linux
import Testing
import VDriveClient
import VDriveProtocol
import VDriveTestKit

extension DaemonUnderTest {
    /// What `stats.get` tells of one disk.
    func stats(_ name: String) async throws -> DiskStats {
        let socket = socket
        return try await blocking {
            var connection = try ControlConnection(path: socket, timeoutSeconds: 10)
            let disks = try connection.call(StatsGet.self, StatsGet.Parameters(name: name)).disks
            return try #require(disks.first)
        }
    }

    /// The counters of a disk that is attached.
    func counters(_ name: String) async throws -> DiskStats.Counters {
        try #require(try await stats(name).counters)
    }
}

extension Integration {
    /// The counters, rates and latencies of real disks: so much was asked for, so much is told.
    @Suite(.serialized)
    struct StatsTests {
        private static let chunk = 1 << 20

        /// A disk whose epochs begin when somebody asks for one, with its image open for a body.
        private func withDisk(
            _ purpose: String,
            kind: TestRemote.Kind = .file,
            through proxy: FaultProxy? = nil,
            _ body: (DaemonUnderTest, TestRemote, ImageFile) async throws -> Void
        ) async throws {
            try await DaemonUnderTest.use(purpose) { daemon in
                let remote = try await TestRemote.make(kind, for: daemon, port: proxy?.port)
                let quiet = ["--chunk-size", "1M", "--cache-size", "16M", "--upload-interval", "3600"]
                let answer = try await daemon.ctl(["create", "disk", "--size", "64M"] + remote.arguments + quiet)
                #expect(answer.isSuccess, "\(answer)")
                let image = try await daemon.attachImage("disk")
                try await body(daemon, remote, try await blocking { try ImageFile(image) })
            }
        }

        private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131) } }

        @Test(.timeLimit(.minutes(1)))
        func `writes, reads, flushes and trims move their counters by exactly what was done`() async throws {
            try await withDisk("stats-counts") { daemon, _, image in
                let before = try await daemon.counters("disk")
                let block = bytes(65_536)
                try await blocking {
                    // The first write makes the chunk dirty; the others hit.
                    for index in 0..<8 { try image.write(block, at: UInt64(index * 65_536)) }
                    for index in 0..<20 { _ = try image.read(at: UInt64(index * 4096), count: 4096) }
                    for _ in 0..<3 { try image.file.sync() }
                    try image.punch(at: UInt64(4 * Self.chunk), count: 2 * Self.chunk)
                }
                let stats = try await daemon.stats("disk")
                let after = try #require(stats.counters)
                #expect(after.writeHits - before.writeHits == 7)
                #expect(after.writeMisses - before.writeMisses == 1)
                #expect(after.writtenBytes - before.writtenBytes == 8 * 65_536)
                #expect(after.readHits - before.readHits == 20)
                #expect(after.readMisses == before.readMisses)
                #expect(after.readBytes - before.readBytes == 20 * 4096)
                #expect(after.flushes - before.flushes == 3)
                #expect(after.trims - before.trims == 1)
                #expect(after.trimmedBytes - before.trimmedBytes == UInt64(2 * Self.chunk))
                #expect(after.readErrors + after.writeErrors + after.flushErrors + after.trimErrors == 0)
                // `RPCLimits.lineBytesMax` counts on it.
                #expect(try JSONValue(encoding: stats).text.utf8.count < 8192)
                // All of the first hits are timed.
                let latencies = try #require(stats.latencies)
                #expect(latencies.readHit.count == after.readHits && latencies.writeHit.count == after.writeHits)
                #expect(latencies.flush.count == after.flushes)
                for latency in [latencies.readHit, latencies.writeHit, latencies.writeMiss, latencies.flush] {
                    #expect(latency.minSeconds > 0 && latency.maxSeconds < 30)
                    #expect(latency.p50Seconds <= latency.p99Seconds && latency.p99Seconds <= latency.maxSeconds)
                    #expect(latency.buckets == latency.buckets.sorted() && latency.buckets.last == latency.count)
                }
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `uploads, evictions and fills are told, and the remote's requests are those that a server saw`()
            async throws
        {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await FaultProxy(to: server.port)
            defer { proxy.stop() }
            try await withDisk("stats-remote", kind: .apache, through: proxy) { daemon, remote, image in
                let block = bytes(2 * Self.chunk)
                try await blocking { for index in 0..<2 { try image.write(block, at: UInt64(index * 4 * Self.chunk)) } }
                let start = try await daemon.counters("disk")
                let objects = Set(try remote.objects().keys)
                try await daemon.mustCtl("sync", "disk")
                let synced = try await daemon.counters("disk")
                #expect(synced.commits - start.commits == 1)
                #expect(synced.uploadedChunks - start.uploadedChunks == 4)
                #expect(synced.uploadedRawBytes - start.uploadedRawBytes == UInt64(4 * Self.chunk))
                let new = try remote.objects().filter { !objects.contains($0.key) }
                let chunks = new.filter { $0.key.hasPrefix("blocks/") }
                #expect(chunks.count == 4)
                #expect(synced.uploadedStoredBytes - start.uploadedStoredBytes == UInt64(chunks.values.reduce(0, +)))
                #expect(synced.remote.sentBytes - start.remote.sentBytes >= UInt64(new.values.reduce(0, +)))
                try await daemon.mustCtl("cache", "evict", "disk")
                let evicted = try await daemon.counters("disk")
                #expect(evicted.evictedChunks - synced.evictedChunks == 4)
                #expect(evicted.evictedBytes - synced.evictedBytes == UInt64(4 * Self.chunk))

                let seen = try proxy.log().filter { $0.hasPrefix("GET ") }.count
                let quiet = try await daemon.counters("disk")
                try await blocking { _ = try image.read(at: UInt64(5 * Self.chunk), count: 4096) }
                let read = try await daemon.counters("disk")
                #expect(read.readMisses - quiet.readMisses == 1 && read.readHits == quiet.readHits)
                #expect(read.fills - quiet.fills == 1)
                #expect(read.filledBytes - quiet.filledBytes == 131_072)
                let gets = try proxy.log().filter { $0.hasPrefix("GET ") }.count - seen
                #expect(gets == 1)
                #expect(read.remote.get.requests - quiet.remote.get.requests == UInt64(gets))
                #expect(read.remote.receivedBytes > quiet.remote.receivedBytes)
                #expect(try await daemon.stats("disk").latencies?.readMiss.count == read.readMisses)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `failures of the remote and their retries are counted`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await FaultProxy(to: server.port)
            defer { proxy.stop() }
            try await withDisk("stats-failures", kind: .apache, through: proxy) { daemon, _, image in
                try await blocking { try image.write(bytes(4096), at: 0) }
                try await daemon.mustCtl("cache", "evict", "disk", "--wait")
                let before = try await daemon.counters("disk")
                try proxy.add("method=GET status=503 times=2")
                let read = try await blocking { try image.read(at: 0, count: 4096) }
                #expect(read == bytes(4096))
                let after = try await daemon.counters("disk")
                #expect(after.remote.get.failures - before.remote.get.failures == 2)
                #expect(after.remote.get.requests - before.remote.get.requests == 3)
                #expect(after.remote.retries - before.remote.retries == 2)
                #expect(after.readErrors == before.readErrors)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `rates follow the traffic, and go when it ends`() async throws {
            try await withDisk("stats-rates") { daemon, _, image in
                try await blocking { try image.write(bytes(Self.chunk), at: 0) }
                let start = ContinuousClock.now
                while start.duration(to: .now) < .seconds(3) {
                    try await blocking { for _ in 0..<10 { _ = try image.read(at: 0, count: 65_536) } }
                    try await Task.sleep(for: .milliseconds(20))
                }
                let busy = try #require(try await daemon.stats("disk").rates)
                #expect(busy.map(\.windowSeconds) == [1, 10, 60])
                for rate in busy {
                    #expect(rate.readHitsPerSecond > 5 && rate.readMissesPerSecond < 1, "\(rate)")
                    #expect(abs(rate.readBytesPerSecond / rate.readHitsPerSecond / 65_536 - 1) < 0.05, "\(rate)")
                }
                try await Task.sleep(for: .seconds(2.5))
                let idle = try #require(try await daemon.stats("disk").rates)
                #expect(idle[0].readHitsPerSecond == 0)
                #expect(idle[1].readHitsPerSecond > 0)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `stats come while the remote is silent, and for a disk that is not attached`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await FaultProxy(to: server.port)
            defer { proxy.stop() }
            try await withDisk("stats-silent", kind: .apache, through: proxy) { daemon, _, image in
                try await blocking { try image.write(bytes(4096), at: 0) }
                try proxy.add("method=PUT blackhole")
                async let sync = daemon.ctl(["sync", "disk"])
                try await Task.sleep(for: .seconds(1))
                let taken = try await seconds {
                    let state = try await daemon.stats("disk").status.state
                    #expect(state == .attached)
                }
                #expect(taken < 10, "\(taken) s")
                try proxy.clear()
                #expect(try await sync.isSuccess)
                let text = try await daemon.mustCtl("stats", "disk")
                for word in ["read hits", "remote requests", "LATENCY", "P99.9", "10 s", "write miss"] {
                    #expect(text.contains(word), "\(text)")
                }
            }
            try await DaemonUnderTest.use("stats-detached") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "16M", on: remote, "--chunk-size", "64K")
                let stats = try await daemon.stats("disk")
                #expect(stats.status.state == .detached && stats.counters == nil && stats.latencies == nil)
                #expect(try await daemon.mustCtl("stats", "disk").contains("only an attached disk"))
                #expect(try await daemon.mustCtl("stats").contains("detached"))
                let wrong = try await daemon.ctl(["stats", "--interval", "1"])
                #expect(wrong.status == 2 && wrong.errors.contains("needs --watch"), "\(wrong)")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `watch appends a line each time`() async throws {
            try await withDisk("stats-watch") { daemon, _, _ in
                for words in [["--watch", "--interval", "0.2"], ["--watch", "0.2"]] {
                    let timeout = ["env", "--default-signal", "timeout", "--preserve-status", "-s", "INT", "1.5"]
                    let answer = try await runProgram(
                        timeout + [DaemonUnderTest.program("vdrivectl"), "--socket", daemon.socket, "stats"] + words
                    )
                    let lines = answer.output.split(separator: "\n").map { $0.split(separator: " ") }
                    #expect(answer.isSuccess && lines.count >= 3, "\(answer)")
                    #expect(lines.first?.prefix(3) == ["TIME", "NAME", "STATE"], "\(answer)")
                    #expect(lines.dropFirst().allSatisfy { $0[1...2] == ["disk", "attached"] }, "\(answer)")
                }
            }
        }
    }
}
