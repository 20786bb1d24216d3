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

        /// What each rule pins, in MiB.
        private func bytes(_ disk: FilmDisk) async throws -> [UInt64] {
            try await disk.rules().map { $0.pinnedBytes >> 20 }.sorted()
        }
    }
}
