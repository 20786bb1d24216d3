import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Names of files as Linux has them: any bytes but the slash and the zero.
    @Suite(.serialized)
    struct NameTests {
        private static let escape: Character = "\u{1B}"

        /// Makes a file of one page.
        private func touch(_ path: String) async throws {
            try await mustRun(["dd", "if=/dev/urandom", "of=\(path)", "bs=4096", "count=1", "status=none"])
        }

        @Test(.timeLimit(.minutes(2)))
        func `a name that would steer a terminal is shown in letters, in one line`() async throws {
            try await DaemonUnderTest.use("names") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                try await mustRun(["mkdir", disk.path("folder")])
                let name = "x\n\u{1B}[31my\u{9B}z\u{202E}"
                let path = disk.path("folder/\(name)")
                try await touch(path)
                try await daemon.mustCtl("sync", FilmDisk.name)
                _ = try await disk.cache("pin", path, "--wait")
                for words in [["ls", disk.path("folder")], ["pins", FilmDisk.name]] {
                    let told = try await daemon.mustCtl(["cache"] + words)
                    let lines = told.split(separator: "\n")
                    #expect(lines.count == 2 && lines.last?.contains(#"/x\n\x1B[31my\x9Bz\u202E"#) == true, "\(told)")
                    #expect(!told.contains(Self.escape) && !told.unicodeScalars.contains("\u{9B}"), "\(told)")
                }
                for words in [["prefetch", path, "--wait"], ["evict", path], ["unpin", path], ["unpin", path]] {
                    let answer = try await daemon.ctl(["cache"] + words)
                    let told = answer.output + answer.errors
                    #expect(told.split(separator: "\n").count == 1 && !told.contains(Self.escape), "\(answer)")
                }
                let missing = try await daemon.ctl(["cache", "ls", disk.path("no\n\u{1B}]52;c;AAAA\u{7}")])
                #expect(missing.status == 1 && missing.errors.split(separator: "\n").count == 1, "\(missing)")
                #expect(!missing.errors.contains(Self.escape), "\(missing)")
                let usage = try await daemon.ctl(["cache", "ls", path, "--no\u{1B}[31msuch"])
                #expect(usage.status == 2 && !usage.errors.contains(Self.escape), "\(usage)")
                // Programs get the name itself.
                let entry = try #require(try await disk.entries("folder")["folder/\(name)"])
                #expect(entry.kind == .file)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a mount point with doubled slashes is the same place`() async throws {
            try await DaemonUnderTest.use("slashes") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                try await touch(disk.path("film"))
                try await daemon.mustCtl("sync", FilmDisk.name)
                for place in [disk.place + "//", disk.place.replacing("/mnt-", with: "//mnt-") + "/"] {
                    try await daemon.mustCtl("detach", FilmDisk.name)
                    try await daemon.mustCtl("attach", FilmDisk.name, "--mount", place)
                    #expect(try await daemon.status(FilmDisk.name).mountPoint == disk.place)
                    #expect(try await disk.entries("film").keys.sorted() == ["film"], "\(place)")
                    // The same again is no other place.
                    try await daemon.mustCtl("attach", FilmDisk.name, "--mount", place)
                }
                // As an earlier daemon kept it.
                try await daemon.terminate()
                let file = "\(daemon.stateDirectory)/disks.d/\(FilmDisk.name).toml"
                let kept = try String(contentsOfFile: file, encoding: .utf8)
                let doubled = kept.replacing(disk.place, with: disk.place.replacing("/mnt-", with: "//mnt-"))
                #expect(doubled != kept)
                try doubled.write(toFile: file, atomically: true, encoding: .utf8)
                try await mustRun(["chmod", "600", file])
                try await daemon.start()
                #expect(try await daemon.waitUntilAttached(FilmDisk.name).mountPoint == disk.place)
                #expect(try await disk.entries("film").keys.sorted() == ["film"])
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `names that look alike are two files, and one file named twice is one rule`() async throws {
            try await DaemonUnderTest.use("alike") { daemon in
                let disk = try await FilmDisk.make("ext4", size: "1G", cacheSize: "100M", on: daemon)
                let names = ["\u{E9}.mkv", "e\u{301}.mkv"]
                for (number, name) in names.enumerated() {
                    try await mustRun(["mkdir", disk.path("in-\(name)")])
                    for file in [name, "in-\(name)/film"] {
                        try await disk.append(file, mebibytes: 1 + number, seed: UInt64(number + 1))
                    }
                }
                try await daemon.mustCtl("sync", FilmDisk.name)
                for name in names {
                    try await daemon.mustCtl("cache", "pin", disk.path(name), "--wait")
                    try await daemon.mustCtl("cache", "pin", disk.path("in-\(name)"), "-r", "--wait")
                }
                #expect(try await bytes(disk) == [1, 1, 2, 2])
                _ = try await disk.cache("unpin", disk.path(names[0]))
                _ = try await disk.cache("unpin", disk.path("in-\(names[0])"), "-r")
                #expect(try await bytes(disk) == [2, 2])
                let left = try await disk.rules().map { Array(($0.path ?? "").utf8) }
                let wanted = [names[1], "in-\(names[1])"].map { Array(disk.path($0).utf8) }
                #expect(Set(left) == Set(wanted))
                // A file that the other's folder does not cover.
                let other = try await daemon.ctl(["cache", "unpin", disk.path("in-\(names[0])/film")])
                #expect(other.status == 1 && other.errors.contains("Nothing of it is pinned"), "\(other)")
                _ = try await disk.cache("unpin", FilmDisk.name)

                try await mustRun(["ln", "-s", names[0], disk.path("link")])
                let twice = [disk.path(names[0]), disk.path(names[0]), disk.path("link"), disk.path("./\(names[0])")]
                try await daemon.mustCtl(["cache", "pin", "--wait"] + twice)
                #expect(try await bytes(disk) == [1])
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        /// What each rule pins, in MiB.
        private func bytes(_ disk: FilmDisk) async throws -> [UInt64] {
            try await disk.rules().map { $0.pinnedBytes >> 20 }.sorted()
        }
    }
}
