import Foundation
import Synchronization
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The limits of the cache against real writers, a link that is slower than they are, and somebody else who fills
    /// the cache's filesystem.
    /// With VDRIVE_LIMITS=long the cache has 512 MiB, and the epochs are longer.
    @Suite(.serialized)
    struct LimitsUnderLoadTests {
        private static let mebibyte: UInt64 = 1 << 20
        private static let cacheMebibytes = ProcessInfo.processInfo.environment["VDRIVE_LIMITS"] == "long" ? 512 : 64

        /// What was seen at one time.
        private struct Sample {
            var seconds: Double
            /// That `vdrivectl status` told right before and right after `du` counted.
            var used: ClosedRange<UInt64>
            var du: UInt64
            /// That the loop device was given to write.
            var written: UInt64
            /// That the link has carried to the server.
            var sent: Int
        }

        private func used(_ daemon: DaemonUnderTest) async throws -> UInt64 {
            try #require(try await daemon.status(FilmDisk.name).cache.usedBytes)
        }

        private func sample(
            _ disk: FilmDisk,
            _ daemon: DaemonUnderTest,
            _ device: String,
            since start: ContinuousClock.Instant
        ) async throws -> Sample {
            let before = try await used(daemon)
            let du = try await mustRun(["du", "-s", "--block-size=1", "\(daemon.folder)/cache"])
            let after = try await used(daemon)
            let stat = try String(contentsOfFile: "/sys/block/\(device.dropFirst("/dev/".count))/stat", encoding: .utf8)
            return Sample(
                seconds: start.duration(to: .now) / .seconds(1),
                used: min(before, after)...max(before, after),
                du: try #require(UInt64(du.prefix { $0.isNumber })),
                written: try #require(UInt64(stat.split(separator: " ")[6])) * 512,
                sent: try disk.carried("up")
            )
        }

        /// What the daemon tells is what `du` counts.
        ///
        /// Not in each look: a commit makes room that the writers take again, 15 MiB down and up in 100 ms, between
        /// two answers of the daemon. Copies of sealed chunks have no name that `du` could see. An error of counting
        /// would be there most of the time.
        ///
        /// - Returns: the median difference, as a part of what `du` counts.
        private func expectCounted(_ samples: [Sample], _ limit: UInt64) -> Double {
            let differences = samples.map { sample in
                let told = Double(sample.used.lowerBound + sample.used.upperBound) / 2
                return (told - Double(sample.du)) / Double(max(sample.du, limit / 4))
            }
            let near = samples.filter { sample in
                let slack = sample.du / 50 + 4 * Self.mebibyte
                return sample.used.lowerBound <= sample.du + slack && sample.du <= sample.used.upperBound + slack
            }
            #expect(near.count * 10 >= samples.count * 9, "\(near.count) of \(samples.count) looks")
            let median = differences.sorted()[differences.count / 2]
            #expect(abs(median) <= 0.02, "\(median)")
            return median
        }

        /// Bytes a second from when the cache is full to the last data: that were written, and that the link carried.
        /// Chunks that were sealed while they were being filled, one a writer, and the journal's go up once more with
        /// the next epoch.
        private func throughput(_ samples: [Sample], _ limit: UInt64) throws -> (written: Double, sent: Double) {
            let full = try #require(samples.first { $0.used.upperBound > limit * 3 / 4 })
            let last = try #require(samples.last { $0.written < samples.last!.written })
            let seconds = last.seconds - full.seconds
            return (Double(last.written - full.written) / seconds, Double(last.sent - full.sent) / seconds)
        }

        /// Four writers at once, each with a file of its own of bytes that do not compress.
        private func fio(_ disk: FilmDisk, mebibytes: Int) async throws {
            let answer = try await runProgram(
                [
                    "fio", "--name=writers", "--directory=\(disk.place)", "--rw=write", "--bs=256k", "--direct=1",
                    "--ioengine=psync", "--numjobs=4", "--size=\(mebibytes / 4)M", "--refill_buffers", "--end_fsync=1",
                    "--fallocate=none", "--group_reporting",
                ],
                timeoutSeconds: 240
            )
            #expect(answer.isSuccess && !answer.output.contains("error"), "\(answer)")
        }

        @Test(.timeLimit(.minutes(6)))
        func `fio writes five times the cache over a slow link: no error, and the limit holds all along`() async throws
        {
            try await DaemonUnderTest.use("limits") { daemon in
                let limit = UInt64(Self.cacheMebibytes) * Self.mebibyte
                let disk = try await FilmDisk.make(
                    "ext4",
                    size: "8G",
                    cacheSize: "\(Self.cacheMebibytes)M",
                    chunkSize: "1M",
                    on: daemon
                )
                let device = try #require(try await daemon.status(FilmDisk.name).device)
                try await daemon.mustCtl("sync", FilmDisk.name)
                try disk.link.tell("mbit 160")
                let isDone = Mutex(false)
                let start = ContinuousClock.now
                let sampling = Task {
                    var samples: [Sample] = []
                    while !isDone.withLock({ $0 }) {
                        samples.append(try await sample(disk, daemon, device, since: start))
                        try await Task.sleep(for: .milliseconds(50))
                    }
                    return samples
                }
                defer { isDone.withLock { $0 = true } }
                try await fio(disk, mebibytes: 5 * Self.cacheMebibytes)
                isDone.withLock { $0 = true }
                let samples = try await sampling.value
                // One chunk a writer may be above it.
                let peak = samples.map { max($0.used.upperBound, $0.du) }.max() ?? 0
                #expect(peak <= limit + 4 * Self.mebibyte, "\(peak) bytes")
                #expect(peak > limit * 3 / 4, "the cache was not used: \(peak) bytes")
                let difference = expectCounted(samples, limit)
                let rate = try throughput(samples, limit)
                let share = Double(peak) / Double(limit) * 100
                say(
                    "limits: \(samples.count) looks while fio wrote five times a cache of \(Self.cacheMebibytes) MiB "
                        + "in \(text(samples.last?.seconds ?? 0)) s: at most \(text(share)) % used, "
                        + "du \(text(difference * 100)) % off in the median, "
                        + "\(text(rate.written / 1e6)) MB/s once it was full, "
                        + "for which the link of 20 carried \(text(rate.sent / 1e6)) MB/s"
                )
                #expect((10e6...26e6).contains(rate.written) && (12e6...22e6).contains(rate.sent), "\(rate)")
                try disk.link.tell("mbit 0")
                try await daemon.mustCtl("sync", FilmDisk.name)
                // Until the cleaning in the background is done, too.
                var rest = try await sample(disk, daemon, device, since: start)
                while rest.used.lowerBound != rest.used.upperBound, start.duration(to: .now) < .seconds(180) {
                    rest = try await sample(disk, daemon, device, since: start)
                }
                let told = rest.used.upperBound
                #expect(told <= limit && told == rest.used.lowerBound, "\(rest)")
                #expect(abs(Double(told) / Double(rest.du) - 1) <= 0.02, "\(told) told, \(rest.du) by du")
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(4)))
        func `somebody else fills the cache's filesystem: writers wait, nobody gets an error, and it is told`()
            async throws
        {
            try await DaemonUnderTest.use("crowded") { daemon in
                let place = "\(daemon.folder)/cache"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                try await mustRun(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", place])
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", chunkSize: "1M", on: daemon)
                try await daemon.mustCtl("cache", "limits", FilmDisk.name, "--reserve", "10")
                try await disk.append("film", mebibytes: 60, seed: 1)
                try await daemon.mustCtl("sync", FilmDisk.name)
                // All that is left, at once.
                _ = try await runProgram(["dd", "if=/dev/zero", "of=\(place)/other", "bs=1M"])
                try await waitForWarnings(daemon) { $0.contains { $0.contains("kept free for others") } }
                try await fio(disk, mebibytes: 120)
                let free = try FileManager.default.attributesOfFileSystem(forPath: place)[.systemFreeSize] as? Int ?? 0
                say("limits: \(free >> 20) MiB were free for others again after a filesystem of 128 MiB was full")
                #expect(free >= 9 << 20)
                try FileManager.default.removeItem(atPath: "\(place)/other")
                try await fio(disk, mebibytes: 120)
                try await waitForWarnings(daemon) { $0.isEmpty }
                let events = try await daemon.eventsNow("--since", "0", "--type", "disk.warning")
                let lines = events.output.split(separator: "\n")
                #expect(lines.contains { $0.contains("kept free for others") }, "\(events)")
                #expect(lines.count >= 2, "nothing says that it is over: \(events)")
                let truth = try await disk.readAll(["film"])
                try await disk.evictAll()
                try await disk.dropKernelCaches()
                #expect(try await disk.readAll(["film"]) == truth)
                try await daemon.mustCtl("detach", FilmDisk.name)
                try await mustRun(["umount", place])
            }
        }

        private func waitForWarnings(_ daemon: DaemonUnderTest, _ isRight: ([String]) -> Bool) async throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while true {
                let warnings = try await daemon.status(FilmDisk.name).warnings ?? []
                if isRight(warnings) { return }
                guard ContinuousClock.now < deadline else {
                    throw DaemonUnderTest.Failure(description: "The warnings are \(warnings).")
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }

        /// ext4 asks for each 128 MiB of its own, and waits.
        @Test(.timeLimit(.minutes(4)), arguments: [("ext4", 2), ("xfs", 16)])
        func `what is deleted goes from the cache and from the remote with fstrim, also on a huge disk`(
            filesystem: String,
            tebibytes: Int
        ) async throws {
            try await DaemonUnderTest.use("trim-\(filesystem)") { daemon in
                let disk = try await FilmDisk.make(
                    filesystem,
                    size: "\(tebibytes)T",
                    cacheSize: "1G",
                    chunkSize: "4M",
                    on: daemon
                )
                try await disk.append("kept", mebibytes: 8, seed: 1)
                try await daemon.mustCtl("sync", FilmDisk.name)
                let before = try await daemon.status(FilmDisk.name)
                try await disk.append("film", mebibytes: 400, seed: 2)
                try await daemon.mustCtl("sync", FilmDisk.name)
                let full = try await daemon.status(FilmDisk.name)
                try await mustRun(["rm", disk.path("film")])
                try await disk.settle()
                let taken = try await seconds { try await mustRun(["fstrim", disk.place]) }
                try await daemon.mustCtl("sync", FilmDisk.name)
                let after = try await daemon.status(FilmDisk.name)
                say("\(filesystem): fstrim of \(tebibytes) TiB took \(text(taken)) s")
                let mebibytes = { (status: DiskStatus) in
                    (used: (status.cache.usedBytes ?? 0) >> 20, allocated: (status.allocatedBytes ?? 0) >> 20)
                }
                #expect(mebibytes(full).allocated >= mebibytes(before).allocated + 390)
                #expect(mebibytes(after).allocated <= mebibytes(before).allocated + 16, "\(after)")
                #expect(mebibytes(after).used + 390 <= mebibytes(full).used, "\(after)")
                #expect(taken < 60)
                try await disk.dropKernelCaches()
                _ = try await disk.readAll(["kept"])
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }
    }
}
