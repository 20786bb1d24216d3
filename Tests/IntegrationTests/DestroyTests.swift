import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The end of a disk: what goes, what stays, and what is refused.
    @Suite(.serialized)
    struct DestroyTests {
        private func write(_ image: String, megabytes: Int) async throws {
            try await mustRun([
                "dd", "if=/dev/urandom", "of=\(image)", "bs=1M", "count=\(megabytes)", "conv=notrunc,fsync",
                "status=none",
            ])
        }

        @Test(.timeLimit(.minutes(2)), arguments: [TestRemote.Kind.file, .apache, .rclone])
        func `all objects go from the remote, and nothing that is others'`(kind: TestRemote.Kind) async throws {
            try await DaemonUnderTest.use("destroy-\(kind.rawValue)") { daemon in
                let remote = try await TestRemote.make(kind, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "64K")
                let image = try await daemon.attachImage("disk")
                try await write(image, megabytes: 16)
                try await daemon.mustCtl("detach", "disk")
                try Data("mine".utf8).write(to: remote.folder.appendingPathComponent("notes.txt"))
                try Data("mine".utf8).write(to: remote.folder.appendingPathComponent("blocks/0000000/readme"))
                let before = try remote.objects().count
                #expect(before > 256)

                // Only with the uuid; the word of a script is --yes.
                let unsaid = try await daemon.ctl(["destroy", "disk", "--remote"])
                #expect(unsaid.status == 2 && unsaid.errors.contains("--yes"), "\(unsaid)")
                let wrong = ["--remote", "--uuid", "00000000-0000-4000-8000-000000000000"]
                let refused = try await daemon.ctl(["destroy", "disk"] + wrong)
                #expect(refused.status == 4 && refused.errors.contains("another uuid"), "\(refused)")
                #expect(try remote.objects().count == before)

                let answer = try await daemon.mustCtl("destroy", "disk", "--remote", "--yes", "--json")
                let result = try JSONValue(parsing: answer.utf8)
                guard case .integer(let deleted)? = result["deletedObjects"] else {
                    Issue.record("\(answer)")
                    return
                }
                #expect(deleted > 256 && deleted <= before)
                #expect(try Set(remote.objects().keys) == ["notes.txt", "blocks/0000000/readme"])
                #expect(try await daemon.ctl(["status", "disk"]).status == 1)
                let state = daemon.stateDirectory
                for path in ["disks/disk", "disks.d/disk.toml", "cache/disk"] {
                    #expect(!FileManager.default.fileExists(atPath: "\(state)/\(path)"), "\(path)")
                }
                let gone = try await daemon.ctl(["import", "disk"] + remote.arguments)
                #expect(gone.errors.contains("There is no disk"), "\(gone)")
                // The place is free, and so is the name.
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "64K")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a person at a terminal is asked, and only the disk's name deletes it`() async throws {
            try await DaemonUnderTest.use("destroy-asked") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "64K")
                let program = try DaemonUnderTest.program("vdrivectl")
                let command = "\(program) destroy disk --remote --socket \(daemon.socket)"
                func answer(_ line: String) async throws -> ProgramAnswer {
                    // The terminal's end of file, so that nothing waits for a second line.
                    let typing = #"printf '%s\n\004' "$0" | exec script -qefc "$1" /dev/null"#
                    return try await runProgram(["env", "--default-signal", "sh", "-c", typing, line, command])
                }
                for line in ["", "y", "yes", "disk2", "Disk"] {
                    let refused = try await answer(line)
                    #expect(refused.status == 4 && refused.output.contains("Type its name: "), "\(refused)")
                    #expect(refused.output.contains("nothing was changed"), "\(refused)")
                }
                #expect(try remote.objects().isEmpty == false)
                let destroyed = try await answer("disk")
                #expect(destroyed.isSuccess && destroyed.output.contains("destroyed disk, "), "\(destroyed)")
                #expect(try remote.objects().isEmpty)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a disk forgotten here is whole on its remote`() async throws {
            try await DaemonUnderTest.use("forget") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let cache = "\(daemon.folder)/cache-of-mine"
                try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
                try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(cache)/notes.txt"))
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "64K", "--cache-dir", cache)
                let image = try await daemon.attachImage("disk")
                try await write(image, megabytes: 4)
                let attached = try await daemon.ctl(["destroy", "disk"])
                #expect(attached.status == 4 && attached.errors.contains("detach it first"), "\(attached)")
                let bytes = try Data(contentsOf: URL(fileURLWithPath: image)).prefix(4 << 20)
                try await daemon.mustCtl("detach", "disk")
                let objects = try remote.objects()
                let answer = try await daemon.mustCtl("destroy", "disk")
                #expect(answer == "destroyed disk; left in its cache: notes.txt\n")
                #expect(try FileManager.default.contentsOfDirectory(atPath: cache) == ["notes.txt"])
                #expect(try remote.objects() == objects)
                try await daemon.importDisk("again", from: remote)
                let imported = try await daemon.attachImage("again")
                #expect(try Data(contentsOf: URL(fileURLWithPath: imported)).prefix(4 << 20) == bytes)
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `changes that are only here are not thrown away by accident`() async throws {
            try await DaemonUnderTest.use("destroy-dirty") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "64K")
                let image = try await daemon.attachImage("disk")
                try await daemon.mustCtl("upload", "pause", "disk")
                try await write(image, megabytes: 1)
                let queue = try await daemon.mustCtl("upload", "queue", "disk", "--limit", "3")
                #expect(queue.hasPrefix("disk: 1.00 MiB to upload in 16 chunks, paused\nCHUNK "), "\(queue)")
                #expect(queue.hasSuffix("and 13 more\n"), "\(queue)")
                #expect(try await daemon.status("disk").upload.paused == true)
                // What is flushed survives the crash, on this machine alone. The remote goes away with it.
                try await daemon.crash()
                let away = remote.folder.appendingPathExtension("away")
                try FileManager.default.moveItem(at: remote.folder, to: away)
                try Data().write(to: remote.folder)
                try await daemon.start()
                for _ in 0..<100 where try await daemon.status("disk").state != .attached {
                    try await Task.sleep(for: .milliseconds(100))
                }
                _ = try await daemon.ctl(["detach", "disk"])
                let refused = try await daemon.ctl(["destroy", "disk"])
                #expect(refused.status == 4 && refused.errors.contains("1048576 bytes in 16 chunks"), "\(refused)")
                #expect(try await daemon.status("disk").name == "disk")
                try await daemon.mustCtl("destroy", "disk", "--discard-local")
                #expect(try await daemon.ctl(["status", "disk"]).status == 1)
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a disk that another machine has attached is not deleted under it`() async throws {
            try await DaemonUnderTest.use("destroy-one") { one in
                let remote = try await TestRemote.make(.file, for: one)
                try await one.create("disk", size: "64M", on: remote, "--chunk-size", "64K")
                try await DaemonUnderTest.use("destroy-two") { two in
                    try await two.importDisk("disk", from: remote)
                    let image = try await two.attachImage("disk")
                    try await write(image, megabytes: 1)
                    try await two.mustCtl("sync", "disk")
                    let before = try remote.objects()
                    let refused = try await one.ctl(["destroy", "disk", "--remote", "--yes"])
                    #expect(refused.status == 4 && refused.errors.contains("is attached on"), "\(refused)")
                    #expect(refused.errors.contains("destroy with --takeover"), "\(refused)")
                    #expect(try remote.objects() == before)
                    try await one.mustCtl("destroy", "disk", "--remote", "--yes", "--takeover")
                    #expect(try remote.objects() == [:])
                    // Nothing of its owner's can be committed any more.
                    _ = try await two.ctl(["detach", "disk"])
                }
            }
        }
    }
}
