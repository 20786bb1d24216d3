import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// What ends, what is refused and what must not hang while the cache is steered.
    @Suite(.serialized)
    struct SteeringTests {
        @Test(.timeLimit(.minutes(5)))
        func `a prefetch over a slow link is cancelled within two seconds, and a detach ends one`() async throws {
            try await DaemonUnderTest.use("cancel") { daemon in
                let disk = try await FilmDisk.make("ext4", cacheSize: "300M", chunkSize: "4M", on: daemon)
                try await mustRun(["mkdir", disk.path("big")])
                for file in 0..<20 { try await disk.append("big/\(file)", mebibytes: 5, seed: UInt64(file + 1)) }
                try await disk.evictAll()
                // 1 MB/s: the whole takes 100 s.
                try disk.link.tell("mbit 8")
                for ending in ["jobs cancel", "detach"] {
                    let id = try await disk.cache("prefetch", disk.path("big"), "-r")
                        .trimmingCharacters(in: .newlines)
                    try await wait(for: "the fetching", seconds: 30) {
                        let progress = try await daemon.job(id).progress
                        return progress.unit == .bytes && progress.total == 100 << 20
                    }
                    let taken = try await seconds {
                        if ending == "detach" {
                            try await daemon.mustCtl("detach", FilmDisk.name)
                        } else {
                            try await daemon.mustCtl("jobs", "cancel", id)
                            try await wait(for: "the job's end", seconds: 30) {
                                try await daemon.job(id).state != .running
                            }
                        }
                    }
                    let end = try await daemon.job(id)
                    say("a prefetch ended \(text(taken)) s after \(ending)")
                    #expect(end.state == (ending == "detach" ? .failed : .cancelled), "\(end)")
                    // The detach gives the disk back over the same link, behind what is on its way there already.
                    #expect(taken < (ending == "detach" ? 60 : 20))
                }
                try disk.link.tell("mbit 0")
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func `a detach does not wait for those who look for files, and a kill leaves nothing`() async throws {
            try await DaemonUnderTest.use("walks") { daemon in
                let disk = try await FilmDisk.make("ext4", cacheSize: "300M", on: daemon)
                let script = "cd \"$1\" && mkdir many && cd many && seq 1 20000 | xargs touch"
                try await mustRun(["bash", "-c", script, "bash", disk.place])
                try await daemon.mustCtl("sync", FilmDisk.name)
                _ = try await disk.cache("pin", disk.path("many"), "-r")
                let whole = try await seconds { try await daemon.mustCtl("cache", "ls", disk.path("many")) }
                for round in 0..<5 {
                    let looking = Task { try await daemon.ctl(["cache", "ls", disk.path("many")]) }
                    try await Task.sleep(for: .milliseconds(30 * (round + 1)))
                    let taken = try await seconds { try await daemon.mustCtl("detach", FilmDisk.name) }
                    #expect(taken < whole / 2, "round \(round): \(taken) s, the list takes \(whole) s")
                    #expect(try await !looking.value.isSuccess, "round \(round): the list was not cut short")
                    try await daemon.mustCtl("attach", FilmDisk.name)
                }
                let looking = Task { try await daemon.ctl(["cache", "ls", disk.path("many")]) }
                try await Task.sleep(for: .milliseconds(50))
                try await daemon.crash()
                // Killed with the daemon, or left without somebody to read what it says.
                _ = try await looking.value
                try await daemon.start()
                _ = try await daemon.waitUntilAttached(FilmDisk.name)
                #expect(try await disk.count("find \(disk.path("many")) -type f") == 20_000)
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func `pages of a list hold every file of a large folder once`() async throws {
            try await DaemonUnderTest.use("pages") { daemon in
                let disk = try await FilmDisk.make("xfs", cacheSize: "300M", on: daemon)
                let script = "cd \"$1\" && mkdir many && cd many && for i in $(seq 1 5000); do echo $i > $i; done"
                try await mustRun(["bash", "-c", script, "bash", disk.place])
                let client = "\(try DaemonUnderTest.program("vdrivectl")) --socket \(daemon.socket)"
                let listing = "\(client) cache ls \(disk.path("many"))"
                #expect(try await disk.count(listing) == 5001)
                var seen: Set<String> = []
                var token: String?
                repeat {
                    let next = token.map { ",\"token\":\"\($0)\"" } ?? ""
                    let params = #"{"paths":["\#(disk.path("many"))"],"limit":500\#(next)}"#
                    let text = try await daemon.mustCtl("call", "cache.list", params)
                    let page = try JSONDecoder().decode(CacheList.Output.self, from: Data(text.utf8))
                    #expect(page.entries.count <= 500)
                    for entry in page.entries { #expect(seen.insert(entry.path ?? "").inserted) }
                    token = page.next
                } while token != nil
                #expect(seen.count == 5000)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a daemon with a mounted disk and pinned files sleeps when nobody wants anything`() async throws {
            try await DaemonUnderTest.use("idle") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "256M", chunkSize: "1M", on: daemon)
                try await disk.append("film", mebibytes: 8, seed: 1)
                try await daemon.mustCtl("cache", "pin", disk.path("film"))
                try await daemon.mustCtl("sync", FilmDisk.name)
                // Past the follower's first pauses, and the look after the sync.
                try await Task.sleep(for: .seconds(7))
                let before = try daemon.processorSeconds()
                try await Task.sleep(for: .seconds(6))
                let took = try daemon.processorSeconds() - before
                say("an idle daemon with a mounted disk and a pin: \(text(took / 6 * 100)) % of a core")
                // Two looks for the pinned file are in it. What spins takes all that it gets.
                #expect(took < 0.6)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func `ranges and chunks are pinned, cut and evicted, and limits hold what is pinned`() async throws {
            try await DaemonUnderTest.use("ranges") { daemon in
                let disk = try await FilmDisk.make("ext4", cacheSize: "64M", on: daemon)
                try await disk.append("film", mebibytes: 30, seed: 1)
                try await disk.evictAll()
                let extent = try #require(try await disk.extents("film").max { $0.count < $1.count })
                let start = (extent.lowerBound + 0xF_FFFF) / 0x10_0000 * 0x10_0000
                let mib: UInt64 = 1 << 20
                let range = ["--offset", "\(start)", "--length", "\(6 * mib)"]
                try await daemon.mustCtl(["cache", "pin", FilmDisk.name, "--wait"] + range)
                #expect(try await disk.rules().map(\.length) == [6 * mib])
                // The same again is the same rule.
                try await daemon.mustCtl(["cache", "pin", FilmDisk.name, "--wait"] + range)
                #expect(try await disk.rules().count == 1)
                let middle = ["--offset", "\(start + 2 * mib)", "--length", "\(mib)"]
                try await daemon.mustCtl(["cache", "unpin", FilmDisk.name] + middle)
                let parts = try await disk.rules().map { [$0.offset, $0.length] }
                #expect(Set(parts) == [[start, 2 * mib], [start + 3 * mib, 3 * mib]])
                let evicted = try await daemon.mustCtl(["cache", "evict", FilmDisk.name, "--json"] + range)
                let result = try JSONDecoder().decode(CacheEvict.Output.self, from: Data(evicted.utf8))
                #expect(result == CacheEvict.Output(evictedBytes: mib, pinnedBytes: 5 * mib, dirtyBytes: 0))
                let entry = try #require(try await disk.entries("film")["film"])
                #expect(entry.state == .partial && entry.pinnedBytes == 5 * mib, "\(entry)")

                let chunk = start / (256 << 10)
                let chunks = #"{"name":"films","chunks":[\#(chunk),\#(chunk + 8)]}"#
                let text = try await daemon.mustCtl("call", "cache.list", chunks)
                let list = try JSONDecoder().decode(CacheList.Output.self, from: Data(text.utf8))
                #expect(list.entries.map(\.state) == [.cached, .cloud], "\(text)")

                // Too much is refused, with how much it would take, and changes nothing.
                let much = try await daemon.ctl(["cache", "pin", FilmDisk.name])
                #expect(much.status == 1 && much.errors.contains("needs a cache of at least"), "\(much)")
                #expect(try await disk.rules().count == 2)
                let small = try await daemon.ctl(["cache", "limits", FilmDisk.name, "--size", "2M"])
                #expect(small.status == 1, "\(small)")
                let limits = try await disk.cache("limits", FilmDisk.name, "--size", "48M", "--soft", "60", "--json")
                let now = try JSONDecoder().decode(CacheLimitsOf.Output.self, from: Data(limits.utf8))
                #expect(now.sizeBytes == 48 * mib && now.softPercent == 60 && now.pinnedBytes == 5 * mib)
                try await daemon.terminate()
                try await daemon.start()
                _ = try await daemon.waitUntilAttached(FilmDisk.name)
                let later = try await disk.cache("limits", FilmDisk.name, "--json")
                let kept = try JSONDecoder().decode(CacheLimitsOf.Output.self, from: Data(later.utf8))
                #expect(kept.sizeBytes == 48 * mib && kept.softPercent == 60 && kept.pinnedBytes == 5 * mib)
                try await limitsWhileDetached(daemon)
                _ = try await disk.cache("unpin", FilmDisk.name)
                #expect(try await disk.rules().isEmpty)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        /// 5 MiB are pinned.
        private func limitsWhileDetached(_ daemon: DaemonUnderTest) async throws {
            try await daemon.mustCtl("detach", FilmDisk.name)
            let small = try await daemon.ctl(["cache", "limits", FilmDisk.name, "--size", "5M"])
            #expect(small.status == 1 && small.errors.contains("needs a cache of at least 582"), "\(small)")
            try await daemon.mustCtl("cache", "limits", FilmDisk.name, "--size", "6M")
            try await daemon.mustCtl("attach", FilmDisk.name)
            let text = try await daemon.mustCtl("cache", "limits", FilmDisk.name, "--json")
            let limits = try JSONDecoder().decode(CacheLimitsOf.Output.self, from: Data(text.utf8))
            #expect(limits.sizeBytes == 6 << 20 && limits.pinnedBytes == 5 << 20)
        }
    }
}
