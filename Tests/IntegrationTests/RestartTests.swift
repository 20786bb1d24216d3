import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// A disk that was attached when the daemon ended is attached again when it starts, with all that was promised.
    @Suite(.serialized)
    struct RestartTests {
        @Test(.timeLimit(.minutes(2)))
        func `after SIGTERM the disks come back with their data`() async throws {
            try await DaemonUnderTest.use("restart") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let other = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("ext4")
                try await daemon.create("ext4", size: "4G", on: remote)
                try await daemon.create("bare", size: "64M", on: other, "--chunk-size", "64K")
                try await daemon.mustCtl("attach", "ext4", "--mount", mount)
                let image = try await daemon.attachImage("bare")
                // Nobody syncs: the daemon commits when it is told to end.
                try await mustRun(["sh", "-c", "seq 1 200000 >\"$0/numbers\"", mount])
                var generator = Generator(seed: 1)
                let bytes = generator.bytes(300_000)
                try await blocking { try ImageFile(image).write(bytes, at: 123_456) }

                try await daemon.terminate()
                #expect(daemon.leftovers().isEmpty)
                try await daemon.start()
                #expect(try await daemon.waitUntilAttached("ext4").mountPoint == mount)
                #expect(try await daemon.waitUntilAttached("bare").image == image)
                let sum = try await mustRun(["sh", "-c", "seq 1 200000 | cmp - \"$0/numbers\" && echo same", mount])
                #expect(sum == "same\n")
                #expect(try await blocking { try ImageFile(image).read(at: 123_456, count: 300_000) } == bytes)

                // What was detached stays so.
                try await daemon.mustCtl("detach", "bare")
                try await daemon.terminate()
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("ext4")
                #expect(try await daemon.status("bare").state == .detached)
                try await daemon.mustCtl("detach", "ext4")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `after kill -9 everything that a flush acknowledged is there`() async throws {
            try await DaemonUnderTest.use("crash") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "256K", "--cache-size", "32M")
                let image = try await daemon.attachImage("disk")
                var generator = Generator(seed: 9)
                var pages: [UInt64: [UInt8]] = [:]
                for round in 0..<5 {
                    for _ in 0..<40 {
                        pages[UInt64.random(in: 0..<16_384, using: &generator)] = generator.bytes(4096)
                    }
                    let written = pages
                    try await blocking {
                        let file = try ImageFile(image)
                        for (page, bytes) in written { try file.write(bytes, at: page * 4096) }
                        try file.file.sync()
                    }
                    // Some of it is on the remote when the end comes, some is not.
                    if round == 1 || round == 3 { try await daemon.mustCtl("sync", "disk") }
                    if round == 2 { try await daemon.mustCtl("cache", "evict", "disk") }
                    try await daemon.crash()
                    try await daemon.start()
                    let again = try await daemon.waitUntilAttached("disk")
                    #expect(again.image == image)
                    let wrong = try await blocking {
                        let file = try ImageFile(image)
                        return try written.filter { try file.read(at: $0 * 4096, count: 4096) != $1 }.map(\.key)
                    }
                    #expect(wrong.isEmpty, "round \(round): pages \(wrong.sorted())")
                }
                try await daemon.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `after kill -9 under ext4 the stale mounts go, and fsynced files are there`() async throws {
            try await DaemonUnderTest.use("crash4") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("disk")
                try await daemon.create("disk", size: "4G", on: remote)
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                for round in 1...3 {
                    let count = 40_000 * round
                    try await mustRun([
                        "sh", "-c", "seq 1 \(count) >\"$0/file\(round)\"; sync \"$0/file\(round)\"", mount,
                    ])
                    try await daemon.crash()
                    #expect(!daemon.leftovers().isEmpty)
                    try await daemon.start()
                    #expect(try await daemon.waitUntilAttached("disk").mountPoint == mount)
                    for known in 1...round {
                        let same = try await runProgram([
                            "sh", "-c", "seq 1 \(40_000 * known) | cmp - \"$0/file\(known)\"", mount,
                        ])
                        #expect(same.isSuccess, "round \(round), file \(known): \(same)")
                    }
                }
                try await daemon.mustCtl("detach", "disk")
                let image = try await daemon.attachImage("disk")
                let check = try await runProgram(["e2fsck", "-fn", image])
                #expect(check.isSuccess, "\(check)")
                try await daemon.mustCtl("detach", "disk")
            }
        }
    }
}
