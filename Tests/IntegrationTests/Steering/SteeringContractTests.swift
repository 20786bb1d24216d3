import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// What the protocol's document and the help promise of the group `cache`.
    @Suite(.serialized)
    struct SteeringContractTests {
        @Test(.timeLimit(.minutes(3)))
        func `emptying a disk's cache shows its bytes, is cancelled, and ends with the disk`() async throws {
            // Each step of 256 chunks takes so long.
            let slow = ["VDRIVE_FAULTS": "evict.before-forget=delay:700"]
            try await DaemonUnderTest.use("empty", environment: slow) { daemon in
                let server = try await ServerFarm.shared.server(.apache)
                let remote = try await TestRemote.make(.apache, for: daemon, port: server.port)
                try await daemon.create(FilmDisk.name, size: "256M", on: remote, "--chunk-size", "64K")
                // Without a filesystem, whose unmount would wait for the steps.
                let image = try await daemon.attachImage(FilmDisk.name)
                let noise = ["dd", "if=/dev/urandom", "of=\(image)", "bs=1M", "count=160", "conv=notrunc,fsync"]
                try await mustRun(noise)
                try await daemon.mustCtl("sync", FilmDisk.name)
                let evict = ["cache", "evict", FilmDisk.name, "--background"]
                for ending in ["jobs cancel", "detach"] {
                    let id = try await daemon.mustCtl(evict).trimmingCharacters(in: .newlines)
                    try await wait(for: "the eviction", seconds: 30) {
                        let progress = try await daemon.job(id).progress
                        return progress.unit == .bytes && progress.total ?? 0 > 0
                    }
                    if ending == "detach" {
                        try await daemon.mustCtl("detach", FilmDisk.name)
                    } else {
                        try await daemon.mustCtl("jobs", "cancel", id)
                    }
                    try await wait(for: "the job's end", seconds: 30) { try await daemon.job(id).state != .running }
                    let end = try await daemon.job(id)
                    #expect(end.state == (ending == "detach" ? .failed : .cancelled), "\(end)")
                    if ending == "detach" {
                        try await daemon.mustCtl("attach", FilmDisk.name, "--fs", "none")
                    } else {
                        #expect(try await daemon.status(FilmDisk.name).cache.usedBytes ?? 0 > 64 << 20)
                    }
                }
                let told = try await daemon.mustCtl("cache", "evict", FilmDisk.name, "--json")
                let result = try JSONDecoder().decode(CacheEvict.Output.self, from: Data(told.utf8))
                let list = try await daemon.mustCtl("jobs", "list", "--json")
                let jobs = try JSONDecoder().decode(JobsList.Output.self, from: Data(list.utf8)).jobs
                let last = try #require(jobs.last { $0.kind == "cache.evict" })
                #expect(result.evictedBytes > 0 && last.progress.done == last.progress.total, "\(last)")
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a disk's metadata is unpinned with that of its folders, and nothing else is`() async throws {
            try await DaemonUnderTest.use("unpin") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                try await mustRun(["mkdir", disk.path("films")])
                try await disk.append("films/film", mebibytes: 1, seed: 1)
                try await daemon.mustCtl("sync", FilmDisk.name)
                try await daemon.mustCtl("cache", "pin", disk.path("films"), "-r", "--wait")
                try await daemon.mustCtl("cache", "pin", disk.path("films"), "-r", "--metadata", "--wait")
                _ = try await disk.cache("unpin", FilmDisk.name, "--metadata")
                #expect(try await disk.rules().map(\.metadata) == [false])
                let again = try await daemon.ctl(["cache", "unpin", FilmDisk.name, "--metadata"])
                #expect(again.status == 1 && again.errors.contains("Nothing of it is pinned"), "\(again)")
                try await daemon.mustCtl("cache", "pin", disk.path("films"), "-r", "--metadata", "--wait")
                try await daemon.mustCtl("cache", "pin", FilmDisk.name, "--metadata", "--wait")
                #expect(try await disk.cache("unpin", FilmDisk.name, "--metadata").contains("2 rules"))
                #expect(try await disk.rules().count == 1)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a long list is one JSON object`() async throws {
            try await DaemonUnderTest.use("long-list") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                let script = "cd \"$1\" && mkdir many && cd many && seq 1 2500 | xargs touch"
                try await mustRun(["bash", "-c", script, "bash", disk.place])
                let client = "\(try DaemonUnderTest.program("vdrivectl")) --socket \(daemon.socket) cache ls --json"
                let reader = """
                    import json, sys; text = sys.stdin.read(); list = json.loads(text)
                    assert text.count('\\n') == 1 and list['next'] is None, text[-100:]
                    print(len({entry['path'] for entry in list['entries']}))
                    """
                for (folder, count) in [("many", 2500), ("lost+found", 0)] {
                    let told = try await mustRun(
                        ["sh", "-c", "\(client) \(disk.path(folder)) | python3 -c \"$0\"", reader]
                    )
                    #expect(told == "\(count)\n")
                }
                // What fails after a page or at once prints no half of an object.
                let missing = try await daemon.ctl(["cache", "ls", disk.path("nothing"), "--json"])
                #expect(missing.status == 1 && missing.output.isEmpty, "\(missing)")
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a folder that became a file is not found, and its pins let go`() async throws {
            try await DaemonUnderTest.use("became-file") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                try await mustRun(["mkdir", disk.path("folder")])
                try await disk.append("folder/film", mebibytes: 1, seed: 1)
                try await daemon.mustCtl("sync", FilmDisk.name)
                try await daemon.mustCtl("cache", "pin", disk.path("folder/film"), "--wait")
                #expect(try await disk.rules().map(\.pinnedBytes) == [1 << 20])
                try await mustRun(["rm", "-r", disk.path("folder")])
                try await mustRun(["touch", disk.path("folder")])
                try await daemon.mustCtl("sync", FilmDisk.name)
                try await disk.waitForRules { $0.map(\.pinnedBytes) == [0] }
                let below = try await daemon.ctl(["call", "cache.list", #"{"paths":["\#(disk.path("folder/film"))"]}"#])
                #expect(below.errors.contains("(notFound)"), "\(below)")
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `jobs on paths are jobs of their disk`() async throws {
            try await DaemonUnderTest.use("job-disk") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                try await disk.append("film", mebibytes: 1, seed: 1)
                try await daemon.mustCtl("sync", FilmDisk.name)
                try await daemon.mustCtl("cache", "evict", disk.path("film"))
                try await daemon.mustCtl("cache", "prefetch", disk.path("film"), "--wait")
                try await daemon.mustCtl("cache", "pin", disk.path("film"), "--wait")
                let list = try await daemon.mustCtl("jobs", "list", "--json")
                let jobs = try JSONDecoder().decode(JobsList.Output.self, from: Data(list.utf8)).jobs
                let steering = jobs.filter { $0.kind.hasPrefix("cache.") }
                #expect(steering.count == 3 && steering.allSatisfy { $0.disk == FilmDisk.name }, "\(steering)")
                let told = try await daemon.eventsNow("--disk", FilmDisk.name, "--since", "0", "--type", "job.ended")
                for kind in ["cache.evict", "cache.prefetch", "cache.pin"] {
                    #expect(told.output.contains("\(kind) succeeded"), "\(told)")
                }
                // A path that lies nowhere is nobody's.
                _ = try await daemon.ctl(["cache", "evict", "/nowhere"])
                let all = try await daemon.mustCtl("jobs", "list", "--json")
                let last = try JSONDecoder().decode(JobsList.Output.self, from: Data(all.utf8)).jobs.last
                #expect(last?.disk == nil && last?.state == .failed)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }
    }
}
