import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Pins and searches for files while something is in their way.
    @Suite(.serialized)
    struct PinTroubleTests {
        private func scratch() throws -> URL {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pins-\(UUID())")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            return folder
        }

        @Test(.timeLimit(.minutes(5)))
        func `with a cache full of changes nobody hangs, and what a pin cannot get comes later`() async throws {
            try await DaemonUnderTest.use("full") { daemon in
                let disk = try await FilmDisk.make("ext4", cacheSize: "64M", chunkSize: "1M", on: daemon)
                try await disk.append("film", mebibytes: 6, seed: 1)
                try await disk.append("late", mebibytes: 1, seed: 2)
                try await disk.evictAll()
                _ = try await mustRun(["md5sum", disk.path("late")])
                try await daemon.mustCtl("upload", "pause", FilmDisk.name)
                // In the filesystem's memory alone, for half a minute.
                try await disk.append("late", mebibytes: 2, seed: 3)
                // Straight to the disk, where no file is, until nothing more goes in.
                let image = "\(daemon.runDirectory)/\(FilmDisk.name)/disk.img"
                let words = ["bs=1M", "count=120", "seek=1400", "conv=notrunc", "oflag=direct", "status=none"]
                let writer = try SupervisedProcess(
                    ["/usr/bin/dd", "if=/dev/urandom", "of=\(image)"] + words,
                    scratch: try scratch()
                )
                try await wait(for: "a full cache", seconds: 60) {
                    try await daemon.status(FilmDisk.name).warnings?.isEmpty == false
                }

                let started = ContinuousClock.now
                let entry = try #require(try await disk.entries("late")["late"])
                #expect(started.duration(to: .now) < .seconds(20), "a list writes nothing, and waits for nobody")
                #expect(entry.dataBytes == 3 << 20 && entry.dirtyBytes == 2 << 20, "\(entry)")

                // A pin must have a place, so it waits, but no longer than somebody wants it to.
                let parameters = #"{"method":"cache.pin","params":{"paths":["\#(disk.path("late"))"]}}"#
                let text = try await daemon.mustCtl("call", "jobs.start", parameters)
                let answer = try JSONValue(parsing: text.utf8)
                guard case .string(let id)? = answer["id"] ?? answer["job"] else {
                    Issue.record("\(text)")
                    return
                }
                try await Task.sleep(for: .seconds(1))
                try await daemon.mustCtl("jobs", "cancel", id)
                let cancelled = ContinuousClock.now
                try await wait(for: "the job's end", seconds: 30) {
                    try await daemon.job(id).state == .cancelled
                }
                #expect(cancelled.duration(to: .now) < .seconds(20))

                // There is no room to bring a film in, for as long as it waits; the rule stands, and says so.
                let pin = try await daemon.ctl(["cache", "pin", disk.path("film"), "--wait"])
                #expect(pin.status != 0, "\(pin)")
                try await disk.waitForRules { $0.count == 1 && $0[0].missingBytes > 0 && $0[0].problem != nil }
                try await daemon.mustCtl("upload", "resume", FilmDisk.name)
                try await disk.waitForRules { $0.count == 1 && $0[0].missingBytes == 0 && $0[0].problem == nil }
                #expect(try await disk.bytesFetched { _ = try await disk.readAll(["film"]) } < 128 << 10)
                writer.stop()
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func `what a look cannot see stays pinned, and the rule says why`() async throws {
            try await DaemonUnderTest.use("unseen") { daemon in
                let disk = try await FilmDisk.make("xfs", cacheSize: "128M", on: daemon)
                try await mustRun(["mkdir", disk.path("films")])
                for file in ["a", "b"] {
                    try await disk.append("films/\(file)", mebibytes: 3, seed: file == "a" ? 1 : 2)
                }
                try await daemon.mustCtl("cache", "pin", disk.path("films"), "-r", "--wait")
                let whole = try #require(try await disk.rules().first).pinnedBytes
                #expect(whole == 6 << 20)
                // Samba and NFS servers hold such leases: the file cannot be opened meanwhile, for 45 s at most.
                let hold = """
                    import fcntl, os, signal, sys, time
                    signal.signal(signal.SIGIO, signal.SIG_IGN)
                    file = os.open(sys.argv[1], os.O_RDWR)
                    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
                    open(sys.argv[2], "w").close()
                    time.sleep(600)
                    """
                let folder = try scratch()
                let ready = folder.appendingPathComponent("ready").path
                let holder = try SupervisedProcess(
                    ["/usr/bin/python3", "-c", hold, disk.path("films/a"), ready],
                    scratch: folder
                )
                try await wait(for: "the lease", seconds: 20) { FileManager.default.fileExists(atPath: ready) }
                try await disk.append("films/c", mebibytes: 1, seed: 3)
                try await mustRun(["sync", "-f", disk.place])
                try await disk.waitForRules(seconds: 30) { $0[0].problem?.contains("films/a") == true }
                #expect(try await disk.rules()[0].pinnedBytes >= whole)
                // Not for one look alone.
                try await Task.sleep(for: .seconds(7))
                let rule = try await disk.rules()[0]
                #expect(rule.problem?.contains("films/a") == true && rule.pinnedBytes >= whole, "\(rule)")
                let listed = try await disk.entries("films")
                #expect(listed["films/a"]?.problem != nil && listed["films/b"]?.state == .cached, "\(listed)")
                // Whoever pins it now is told, too.
                let again = try await daemon.mustCtl("cache", "pin", disk.path("films"), "-r", "--wait")
                #expect(again.contains("1 skipped"), "\(again)")
                holder.stop()
                try await disk.waitForRules { $0[0].problem == nil && $0[0].pinnedBytes == whole + (1 << 20) }
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }
    }
}
