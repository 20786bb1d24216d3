import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// A disk costs what is on it, not what it could hold.
    @Suite(.serialized)
    struct HugeDiskTests {
        @Test(.timeLimit(.minutes(3)))
        func `sixteen tebibytes of ext4 take seconds, and little room`() async throws {
            try await DaemonUnderTest.use("16t") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("huge")
                let took = try await seconds {
                    try await daemon.create("huge", size: "16T", on: remote, "--cache-size", "2G")
                    try await daemon.mustCtl("attach", "huge", "--mount", mount, "--fs", "ext4")
                }
                try await mustRun(["sh", "-c", "echo kept >\"$0/file\"", mount])
                let syncing = try await seconds { try await daemon.mustCtl("sync", "huge") }
                let resident = try daemon.residentBytes()
                let bytes = try remote.objects().values.reduce(0, +)
                let status = try await daemon.status("huge")
                say(
                    "16 TiB: create, attach and mkfs.ext4 \(text(took, digits: 2)) s, sync \(text(syncing)) s, "
                        + "remote \(mebibytes(bytes)) MiB, allocated \(mebibytes(status.allocatedBytes ?? 0)) MiB, "
                        + "daemon's VmRSS \(mebibytes(resident)) MiB"
                )
                #expect(took < 10)
                #expect(bytes < 300 << 20)
                #expect(resident < 256 << 20)
                let size = try await mustRun(["df", "--output=size", "-B1G", mount]).split(separator: "\n").last
                let gibibytes = Int(size?.trimmingCharacters(in: .whitespaces) ?? "") ?? 0
                #expect(gibibytes > 16_000)

                try await daemon.mustCtl("detach", "huge")
                try await daemon.mustCtl("attach", "huge", "--mount", mount)
                #expect(try String(contentsOfFile: "\(mount)/file", encoding: .utf8) == "kept\n")
                try await daemon.mustCtl("detach", "huge")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `one pebibyte is attached at once, and its last page is as good as any`() async throws {
            // A release build attaches within a second: the bench says so. A busy machine's debug build gets more; what
            // goes through the chunks one by one takes hours.
            let secondsMax = 15.0
            try await DaemonUnderTest.use("1p") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("huge", size: "1P", on: remote)
                let took = try await seconds { try await daemon.mustCtl("attach", "huge", "--fs", "none") }
                let image = try #require(try await daemon.status("huge").image)
                let bytes = UInt64(1) << 50
                let end = bytes - 5000
                var generator = Generator(seed: 50)
                let content = generator.bytes(5000)
                try await blocking {
                    let file = try ImageFile(image)
                    #expect(try file.file.size() == bytes)
                    try file.write(content, at: end)
                    try file.file.sync()
                    #expect(try file.read(at: end, count: 5000) == content)
                    #expect(try file.read(at: end - 5000, count: 5000).allSatisfy { $0 == 0 })
                }
                try await daemon.mustCtl("sync", "huge")
                try await daemon.mustCtl("cache", "evict", "huge", "--wait")
                #expect(try await blocking { try ImageFile(image).read(at: end, count: 5000) } == content)
                let resident = try daemon.residentBytes()
                say(
                    "1 PiB: attach \(text(took, digits: 2)) s, daemon's VmRSS \(mebibytes(resident)) MiB, "
                        + "remote \(try remote.objects().values.reduce(0, +)) bytes"
                )
                #expect(took < secondsMax)
                #expect(resident < 128 << 20)
                try await daemon.mustCtl("detach", "huge")
                let again = try await seconds { _ = try await daemon.attachImage("huge") }
                say("1 PiB: attach again with its status \(text(again, digits: 2)) s")
                #expect(try await blocking { try ImageFile(image).read(at: end, count: 5000) } == content)
                try await daemon.mustCtl("detach", "huge")
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `what is deleted and trimmed goes from the remote`() async throws {
            try await DaemonUnderTest.use("trim") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("thin")
                try await daemon.create("thin", size: "8G", on: remote, "--cache-size", "1G")
                try await daemon.mustCtl("attach", "thin", "--mount", mount)
                try await mustRun([
                    "dd", "if=/dev/urandom", "of=\(mount)/big", "bs=1M", "count=200", "conv=fsync", "status=none",
                ])
                try await daemon.mustCtl("sync", "thin")
                let full = try await daemon.status("thin").allocatedBytes ?? 0
                let fullRemote = try remote.objects().values.reduce(0, +)
                #expect(full >= 200 << 20)
                #expect(fullRemote >= 200 << 20)

                try FileManager.default.removeItem(atPath: "\(mount)/big")
                try await mustRun(["sync", "-f", mount])
                try await mustRun(["fstrim", mount])
                try await daemon.mustCtl("sync", "thin")
                let trimmed = try await daemon.status("thin").allocatedBytes ?? 0
                #expect(trimmed <= full - 190 << 20)

                // Objects go after the commits that made them garbage, when nobody can need them any more.
                var left = fullRemote
                for round in 0..<40 where left > fullRemote - 190 << 20 {
                    try await mustRun(["sh", "-c", "echo \(round) >\"$0/note\"", mount])
                    try await daemon.mustCtl("sync", "thin")
                    try await Task.sleep(for: .milliseconds(500))
                    left = try remote.objects().values.reduce(0, +)
                }
                #expect(left <= fullRemote - 190 << 20)
                say(
                    "trim of 200 MiB: allocated \(mebibytes(full)) -> \(mebibytes(trimmed)) MiB, "
                        + "remote \(mebibytes(fullRemote)) -> \(mebibytes(left)) MiB"
                )
                try await daemon.mustCtl("detach", "thin")
                let image = try await daemon.attachImage("thin")
                let check = try await runProgram(["e2fsck", "-fn", image])
                #expect(check.isSuccess, "\(check)")
                try await daemon.mustCtl("detach", "thin")
            }
        }
    }
}
