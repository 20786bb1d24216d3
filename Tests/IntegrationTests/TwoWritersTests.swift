import Foundation
import Glibc
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Two daemons with states of their own and one remote: one of them writes, and the other one finds out.
    @Suite(.serialized)
    struct TwoWritersTests {
        static let kinds: [TestRemote.Kind] = [.file, .apache, .nginx, .rclone]

        @Test(.timeLimit(.minutes(2)), arguments: kinds)
        func `a detach gives the disk back, and a crash keeps it`(kind: TestRemote.Kind) async throws {
            try await withTwo(kind, "handover") { one, two, remote in
                var model = DiskModel()
                try await one.create("disk", size: DiskModel.size, on: remote, "--chunk-size", "64K")
                try await two.importDisk("disk", from: remote)
                for (round, daemon) in [one, two, one, two].enumerated() {
                    let image = try await daemon.attachImage("disk")
                    try await model.check(image, "round \(round)")
                    try await model.write(30, to: image, seed: UInt64(round))
                    if round == 2 {
                        // The same state directory goes on by itself; nobody else may.
                        try await daemon.crash()
                        let refused = try await two.ctl(["attach", "disk", "--fs", "none"])
                        #expect(refused.status == 4 && refused.errors.contains("--takeover"), "\(refused)")
                        try await daemon.start()
                        _ = try await daemon.waitUntilAttached("disk")
                        try await model.check(image, "after the crash")
                    }
                    try await daemon.mustCtl("detach", "disk")
                }
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: kinds)
        func `who is taken over is fenced, keeps its data, and may give it up`(kind: TestRemote.Kind) async throws {
            try await withTwo(kind, "takeover") { one, two, remote in
                var (ours, theirs) = try await diverge(one, two, remote)
                // The other one still holds the disk.
                let refused = try await one.ctl(["attach", "disk", "--fs", "none", "--discard-local"])
                #expect(refused.status == 4 && refused.errors.contains("--takeover"), "\(refused)")
                let objects = try hashes(remote)
                try await one.mustCtl("attach", "disk", "--fs", "none", "--discard-local", "--takeover")
                let image = try #require(try await one.status("disk").image)
                try await theirs.check(image, "what was discarded is gone")
                ours = theirs
                try await ours.write(10, to: image, seed: 77)
                try await one.mustCtl("sync", "disk")
                // Now it is the other one's turn to find out, at its next commit.
                let imageOfTwo = try #require(try await two.status("disk").image)
                try await theirs.write(10, to: imageOfTwo, seed: 78)
                #expect(try await two.ctl(["sync", "disk"]).status == 4)
                #expect(try await two.status("disk").state == .fenced)
                try expectUnharmed(objects, remote)
                try await one.mustCtl("detach", "disk")
                try await two.mustCtl("detach", "disk")
                try await two.mustCtl("attach", "disk", "--fs", "none", "--discard-local")
                try await ours.check(imageOfTwo, "the last writer's state")
                try await two.mustCtl("detach", "disk")
            }
        }

        @Test(
            .timeLimit(.minutes(2)),
            arguments: [
                ("commit.before-object", TestRemote.Kind.file), ("commit.after-object", .file),
                ("commit.before-object", .apache), ("commit.after-object", .apache),
            ]
        )
        func `a writer that slept through a takeover in the middle of a commit fences itself`(
            point: String,
            kind: TestRemote.Kind
        ) async throws {
            try await withTwo(kind, "asleep", ["VDRIVE_FAULTS": "\(point)=stop@2"]) { one, two, remote in
                var ours = DiskModel()
                try await one.create(
                    "disk",
                    size: DiskModel.size,
                    on: remote,
                    "--chunk-size",
                    "64K",
                    "--upload-interval",
                    "3600"
                )
                let image = try await one.attachImage("disk")
                try await ours.write(40, to: image, seed: 1)
                try await one.mustCtl("sync", "disk")
                let committed = ours
                try await ours.write(40, to: image, seed: 2)
                let sync = Task { try await one.ctl(["sync", "disk"]) }
                try await untilStopped(one.pid)

                try await two.importDisk("disk", from: remote, "--upload-interval", "3600")
                try await two.mustCtl("attach", "disk", "--fs", "none", "--takeover")
                let imageOfTwo = try #require(try await two.status("disk").image)
                // A commit object that is there when the term is claimed counts; one that comes later does not.
                var theirs = point == "commit.after-object" ? ours : committed
                try await theirs.check(imageOfTwo, "taken over")
                try await theirs.write(40, to: imageOfTwo, seed: 3)
                try await two.mustCtl("sync", "disk")
                let objects = try hashes(remote)

                kill(one.pid, SIGCONT)
                let answer = try await sync.value
                #expect(answer.status == 4 && answer.errors.contains("taken this disk over"), "\(answer)")
                try await expectFenced(one, image)
                try await ours.check(image, "the sleeper's own state")
                try expectUnharmed(objects, remote)
                try await theirs.check(imageOfTwo, "the second writer, undisturbed")
                try await theirs.write(5, to: imageOfTwo, seed: 4)
                try await two.mustCtl("detach", "disk")
                try await one.mustCtl("detach", "disk")

                try await two.forgetEverything()
                try await two.importDisk("disk", from: remote)
                let imported = try await two.attachImage("disk")
                try await theirs.check(imported, "from the remote alone")
                try await two.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `under ext4 the fenced disk is read-only, is detached, and its files are kept`() async throws {
            try await withTwo(.file, "fenced-ext4") { one, two, remote in
                let (mount, other) = (one.mountPoint("disk"), two.mountPoint("disk"))
                let ssd = "\(one.folder)/ssd"
                try await one.create(
                    "disk",
                    size: "1G",
                    on: remote,
                    "--upload-interval",
                    "3600",
                    "--cache-dir",
                    "\(ssd)/disk"
                )
                try await one.mustCtl("attach", "disk", "--mount", mount)
                try await mustRun(["sh", "-c", "seq 1 50000 >\"$0/shared\"", mount])
                try await one.mustCtl("sync", "disk")
                try await two.importDisk("disk", from: remote, "--upload-interval", "3600")
                try await two.mustCtl("attach", "disk", "--mount", other, "--takeover")
                try await mustRun(["sh", "-c", "seq 1 60000 >\"$0/theirs\"", other])
                try await two.mustCtl("sync", "disk")

                try await mustRun(["sh", "-c", "seq 1 70000 >\"$0/ours\"; sync \"$0/ours\"", mount])
                #expect(try await one.ctl(["sync", "disk"]).status == 4)
                #expect(try await one.status("disk").state == .fenced)
                let refused = try await runProgram(["sh", "-c", "echo x >\"$0/late\" && sync \"$0/late\"", mount])
                #expect(!refused.isSuccess, "\(refused)")
                try await mustRun(["sh", "-c", "seq 1 50000 | cmp - \"$0/shared\"", mount])
                try await one.mustCtl("detach", "disk")
                try await two.mustCtl("detach", "disk")

                try await one.mustCtl("attach", "disk", "--mount", mount, "--keep-local-as", "kept")
                try await mustRun(["sh", "-c", "seq 1 60000 | cmp - \"$0/theirs\" && test ! -e \"$0/ours\"", mount])
                #expect(FileManager.default.fileExists(atPath: "\(ssd)/kept"), "its cache lies beside the old one's")
                let kept = one.mountPoint("kept")
                try await one.mustCtl("attach", "kept", "--mount", kept)
                try await mustRun(["sh", "-c", "seq 1 70000 | cmp - \"$0/ours\" && test ! -e \"$0/theirs\"", kept])
                try await mustRun(["sh", "-c", "seq 1 50000 | cmp - \"$0/shared\"", kept])
                for name in ["disk", "kept"] {
                    try await one.mustCtl("detach", name)
                    let image = try await one.attachImage(name)
                    try await mustRun(["e2fsck", "-fn", image])
                    try await one.mustCtl("detach", name)
                }
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a machine that was overtaken while it was down says so at its start, and does not try again`()
            async throws
        {
            try await withTwo(.file, "overtaken") { one, two, remote in
                var ours = DiskModel()
                let options = ["--chunk-size", "64K", "--upload-interval", "3600"]
                try await one.mustCtl(["create", "disk", "--size", DiskModel.size] + remote.arguments + options)
                try await ours.write(10, to: try await one.attachImage("disk"), seed: 1)
                try await one.crash()
                try await two.importDisk("disk", from: remote)
                try await two.mustCtl("attach", "disk", "--fs", "none", "--takeover")
                var theirs = DiskModel()
                let image = try #require(try await two.status("disk").image)
                try await theirs.write(10, to: image, seed: 2)
                try await two.mustCtl("sync", "disk")
                try await one.start()
                while try await one.status("disk").state != .diverged { try await Task.sleep(for: .milliseconds(50)) }
                try await Task.sleep(for: .seconds(3))
                #expect(one.log.split(separator: "\n").count { $0.contains("attaching failed") } == 1)
                try await one.mustCtl("detach", "disk")
                try await two.mustCtl("detach", "disk")
                try await one.mustCtl("attach", "disk", "--fs", "none", "--discard-local")
                try await theirs.check(try #require(try await one.status("disk").image), "discarded")
                try await one.mustCtl("detach", "disk")
            }
        }

        // MARK: The story

        /// The first one writes and commits, the second takes over and commits, the first writes on and is fenced; its
        /// data waits, and it may not go on.
        ///
        /// - Returns: what the first one has, and what the second one has; the latter still holds the disk.
        func diverge(
            _ one: DaemonUnderTest,
            _ two: DaemonUnderTest,
            _ remote: TestRemote
        ) async throws -> (ours: DiskModel, theirs: DiskModel) {
            let options = ["--chunk-size", "64K", "--cache-size", "8M", "--upload-interval", "3600"]
            try await one.mustCtl(["create", "disk", "--size", DiskModel.size] + remote.arguments + options)
            let image = try await one.attachImage("disk")
            var ours = DiskModel()
            try await ours.write(60, to: image, seed: 1)
            try await one.mustCtl("sync", "disk")

            try await two.importDisk("disk", from: remote, "--upload-interval", "3600")
            let refused = try await two.ctl(["attach", "disk", "--fs", "none"])
            #expect(refused.status == 4, "\(refused)")
            #expect(refused.errors.contains("on \(hostName()) since 20"), "\(refused)")
            #expect(try await two.status("disk").lastError?.contains("--takeover") == true)
            #expect(try await one.status("disk").state == .attached)

            try await two.mustCtl("attach", "disk", "--fs", "none", "--takeover")
            let imageOfTwo = try #require(try await two.status("disk").image)
            var theirs = ours
            try await theirs.check(imageOfTwo, "taken over")
            try await theirs.write(60, to: imageOfTwo, seed: 2)
            try await two.mustCtl("sync", "disk")
            let objects = try hashes(remote)

            // Half of it is what the other one has changed, too.
            try await ours.write(60, to: image, seed: 3)
            let fenced = try await one.ctl(["sync", "disk"])
            #expect(fenced.status == 4 && fenced.errors.contains("taken this disk over"), "\(fenced)")
            try await expectFenced(one, image)
            try await ours.check(image, "reads go on")
            try expectUnharmed(objects, remote)
            #expect(try await one.ctl(["attach", "disk", "--fs", "none"]).status == 4, "fenced is not attached")

            try await one.mustCtl("detach", "disk")
            let diverged = try await one.ctl(["attach", "disk", "--fs", "none"])
            #expect(diverged.status == 4, "\(diverged)")
            let status = try await one.status("disk")
            #expect(status.state == .diverged && status.lastError?.contains("--keep-local-as") == true, "\(status)")
            return (ours, theirs)
        }

        private func expectFenced(_ daemon: DaemonUnderTest, _ image: String) async throws {
            let status = try await daemon.status("disk")
            #expect(status.state == .fenced, "\(status)")
            #expect((status.cache.dirtyBytes ?? 0) > 0 && status.lastError?.contains("taken this disk over") == true)
            let error = await #expect(throws: Errno.self) {
                try await blocking { try ImageFile(image).write([UInt8](repeating: 9, count: 4096), at: 0) }
            }
            #expect(error == Errno(rawValue: EROFS))
        }

        func withTwo(
            _ kind: TestRemote.Kind,
            _ purpose: String,
            _ environment: [String: String] = [:],
            _ body: (DaemonUnderTest, DaemonUnderTest, TestRemote) async throws -> Void
        ) async throws {
            try await DaemonUnderTest.use("\(purpose)-one-\(kind)", environment: environment) { one in
                try await DaemonUnderTest.use("\(purpose)-two-\(kind)") { two in
                    try await body(one, two, try await TestRemote.make(kind, for: one))
                }
            }
        }

        // MARK: Looking

        private func hostName() -> String {
            var name = [CChar](repeating: 0, count: 256)
            gethostname(&name, name.count - 1)
            return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        private func untilStopped(_ pid: pid_t) async throws {
            while true {
                let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
                if status.contains("State:\tT") { return }
                try await Task.sleep(for: .milliseconds(20))
            }
        }

        /// A hash of every chunk, commit and map object.
        func hashes(_ remote: TestRemote) throws -> [String: Int] {
            var hashes: [String: Int] = [:]
            for path in try remote.objects().keys {
                // A file that is being written has a name with a dot, and is no object yet.
                guard ["blocks/", "commits/", "map/"].contains(where: { path.hasPrefix($0) }), !path.contains("/.")
                else { continue }
                guard let bytes = try? Data(contentsOf: remote.folder.appendingPathComponent(path)) else { continue }
                var hasher = Hasher()
                bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
                hashes[path] = hasher.finalize()
            }
            return hashes
        }

        /// Everything that was there is there, byte for byte.
        func expectUnharmed(_ before: [String: Int], _ remote: TestRemote) throws {
            let after = try hashes(remote)
            let harmed = before.filter { after[$0.key] != $0.value }.keys.sorted()
            #expect(!before.isEmpty && harmed.isEmpty, "\(harmed)")
        }
    }
}
