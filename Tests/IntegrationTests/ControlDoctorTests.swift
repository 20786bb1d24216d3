import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

/// One line of the doctor's, as a client in another language reads it.
private struct Finding: Decodable, CustomStringConvertible {
    let subject, grade, text: String
    let advice: String?
    var description: String { "\(grade) \(subject): \(text)" }
}

private struct Report: Decodable {
    let findings: [Finding]
    let problems, warnings: Int

    /// Mounts of others are not this test's.
    func problems(in daemon: DaemonUnderTest) -> [Finding] {
        findings.filter { $0.grade == "problem" && ($0.subject != "mounts" || $0.text.contains(daemon.folder)) }
    }
}

extension Integration {
    /// `vdrivectl doctor` on a machine that is well, and on one where each thing in turn is not.
    @Suite(.serialized)
    struct ControlDoctorTests {
        /// Runs the doctor, and checks what holds for every report.
        private func examine(
            _ daemon: DaemonUnderTest,
            _ words: [String] = [],
            program: String? = nil,
            before script: String = ":"
        ) async throws -> Report {
            let command = [try program ?? DaemonUnderTest.program("vdrivectl"), "--socket", daemon.socket, "doctor"]
            let answer = try await runProgram(
                ["unshare", "-m", "sh", "-ec", "\(script); exec \"$@\"", "sh"] + command + ["--json"] + words
            )
            let report = try JSONDecoder().decode(Report.self, from: Data(answer.output.utf8))
            #expect(answer.errors.isEmpty, "\(answer)")
            #expect(report.problems == report.findings.count { $0.grade == "problem" })
            #expect(report.warnings == report.findings.count { $0.grade == "warning" })
            #expect(answer.status == (report.problems == 0 ? 0 : 1), "\(answer)")
            for finding in report.findings {
                #expect(["ok", "warning", "problem"].contains(finding.grade))
                #expect((finding.advice == nil) == (finding.grade == "ok"), "\(finding)")
            }
            return report
        }

        private func expect(
            _ report: Report,
            has grade: String,
            _ subject: String,
            _ text: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let isThere = report.findings.contains {
                $0.grade == grade && $0.subject == subject && $0.text.contains(text)
            }
            #expect(isThere, "\(grade) \(subject) \(text) is not in \(report.findings)", sourceLocation: sourceLocation)
        }

        @Test(.timeLimit(.minutes(1)))
        func `a machine that is well has no problem, and every check its line`() async throws {
            try await DaemonUnderTest.use("doctor") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                _ = try await daemon.attachImage("first")
                let other = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("second", size: "16M", on: other, "--chunk-size", "64K")
                let report = try await examine(daemon)
                #expect(report.problems(in: daemon).map(\.description) == [])
                expect(report, has: "ok", "fuse", "/dev/fuse can be opened")
                expect(report, has: "ok", "fuse", "fusermount3")
                expect(report, has: "ok", "loop", "/dev/loop-control can be opened")
                expect(report, has: "ok", "programs", "mkfs.ext4")
                expect(report, has: "ok", "programs", "mkfs.xfs")
                expect(report, has: "ok", "clock", "the clock says 20")
                expect(report, has: "ok", "daemon", "vdrived \(DaemonVersion.release) answers, process \(daemon.pid)")
                expect(report, has: "ok", "disk first", "\(remote.url) is online")
                expect(report, has: "ok", "disk second", "detached")
                expect(report, has: "ok", "mounts", "\(daemon.runDirectory)/first answers")
                #expect(report.findings.count { $0.subject == "limits" } == 2)
                #expect(report.findings.contains { $0.subject == "space" && $0.text.contains("iB are free") })
                let one = try await examine(daemon, ["second"])
                #expect(one.findings.contains { $0.subject == "disk second" })
                #expect(!one.findings.contains { $0.subject == "disk first" })
                expect(try await examine(daemon, ["third"]), has: "problem", "disk third", "there is no such disk")
                // For people, the same in lines.
                let text = try await daemon.ctl(["doctor", "second"])
                for finding in one.findings where !["clock", "space", "mounts"].contains(finding.subject) {
                    let line = text.output.split(separator: "\n").first { $0.contains(finding.text) }
                    #expect(line?.hasPrefix(finding.grade) == true, "\(finding) is not in \(text)")
                }
                #expect(text.output.contains(/\n\n(no|\d+) problems?, (no|\d+) warnings?\n$/), "\(text)")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `it works without a daemon, and finds what a dead one left`() async throws {
            try await DaemonUnderTest.use("doctor-alone") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                _ = try await daemon.attachImage("first")
                try await daemon.crash()
                let report = try await examine(daemon)
                expect(report, has: "problem", "daemon", "does not answer at \(daemon.socket)")
                expect(report, has: "problem", "mounts", "\(daemon.runDirectory)/first is left over")
                expect(report, has: "ok", "fuse", "/dev/fuse")
                expect(report, has: "ok", "limits", "this command")
                let text = try await daemon.ctl(["doctor"])
                #expect(text.status == 1 && text.output.contains("-> start vdrived, or name its socket"), "\(text)")
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("first")
                #expect(try await examine(daemon).problems(in: daemon).map(\.description) == [])
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a daemon that hangs holds nobody`() async throws {
            try await DaemonUnderTest.use("doctor-hangs") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                _ = try await daemon.attachImage("first")
                kill(daemon.pid, SIGSTOP)
                defer { kill(daemon.pid, SIGCONT) }
                let start = ContinuousClock.now
                let report = try await examine(daemon)
                #expect(start.duration(to: .now) < .seconds(20))
                expect(report, has: "problem", "daemon", "has not answered for 5 s")
                expect(report, has: "problem", "mounts", "\(daemon.runDirectory)/first does not answer")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a remote that is away is a problem of its disk`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let link = try await LinkProxy(to: server.port)
            try await DaemonUnderTest.use("doctor-remote") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: link.port)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                let image = try await daemon.attachImage("first")
                expect(try await examine(daemon), has: "ok", "disk first", "is online")
                try link.tell("refuse")
                try await daemon.mustCtl("configure", "first", "--upload-interval", "0.05")
                try await mustRun(["dd", "if=/dev/urandom", "of=\(image)", "bs=64K", "count=1", "conv=notrunc,fsync"])
                let deadline = ContinuousClock.now + .seconds(30)
                while try await daemon.status("first").remote.state != "offline", ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(100))
                }
                let away = try await examine(daemon)
                expect(away, has: "problem", "disk first", "\(remote.url) is offline")
                #expect(away.problems(in: daemon).count { $0.subject == "disk first" } == 1, "\(away.findings)")
                try link.tell("pass")
                try await daemon.mustCtl("sync", "first")
                #expect(try await examine(daemon).problems(in: daemon).map(\.description) == [])
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a machine that lacks something is told what to do`() async throws {
            try await DaemonUnderTest.use("doctor-machine") { daemon in
                // In a mount namespace of its own, so that nobody else misses it.
                func without(_ paths: String...) async throws -> Report {
                    let hide = paths.map { path in
                        path.hasPrefix("/dev/")
                            ? "mount --bind \(path) \(path); mount -o remount,bind,nodev \(path)"
                            : "mount --bind /dev/null $(command -v \(path))"
                    }
                    return try await examine(daemon, before: hide.joined(separator: "; "))
                }
                expect(try await without("/dev/fuse"), has: "problem", "fuse", "/dev/fuse cannot be opened")
                let loop = try await without("/dev/loop-control")
                expect(loop, has: "problem", "loop", "/dev/loop-control cannot be opened")
                let programs = try await without("mkfs.xfs", "fusermount3", "wipefs")
                expect(programs, has: "warning", "programs", "mkfs.xfs is missing")
                expect(programs, has: "warning", "fuse", "fusermount3 is missing")
                expect(programs, has: "problem", "programs", "wipefs is missing")
                let advices = Set(programs.findings.compactMap(\.advice))
                #expect(advices.isSuperset(of: ["install xfsprogs", "install fuse3", "install util-linux"]))
                // A program that is made tomorrow shows a clock that is behind.
                let late = "\(daemon.folder)/vdrivectl"
                try await mustRun(["cp", DaemonUnderTest.program("vdrivectl"), late])
                try await mustRun(["touch", "-d", "2090-01-01", late])
                expect(
                    try await examine(daemon, program: late),
                    has: "problem",
                    "clock",
                    "before this program was made"
                )
                try await mustRun(["prlimit", "--pid", "\(daemon.pid)", "--nofile=1024:1024"])
                let limited = try await examine(daemon)
                expect(limited, has: "warning", "limits", "may open 1024 files")
                #expect(limited.problems(in: daemon).map(\.description) == [])
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `little room for a cache, and disks in trouble, are problems`() async throws {
            try await DaemonUnderTest.use("doctor-disks") { daemon in
                let small = "\(daemon.folder)/small"
                try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: false)
                try await mustRun(["mount", "-t", "tmpfs", "-o", "size=64M,nr_inodes=500", "vdrive-test", small])
                defer { _ = try? runProgramBlocking(["umount", "--lazy", small]) }
                let remote = try await TestRemote.make(.file, for: daemon)
                let options = ["--chunk-size", "64K", "--cache-dir", "\(small)/cache", "--cache-size", "32M"]
                let words = ["create", "first", "--size", "16M"] + remote.arguments + options
                let created = try await daemon.ctl(words)
                try #require(created.isSuccess, "\(created)")
                let image = try await daemon.attachImage("first")
                try await mustRun(["dd", "if=/dev/urandom", "of=\(image)", "bs=64K", "count=1", "conv=notrunc,fsync"])
                let full = try await examine(daemon)
                expect(full, has: "problem", "space", "\(small)/cache: ")
                expect(full, has: "problem", "space", "of 500 inodes are free")
                try await daemon.mustCtl("cache", "evict", "first", "--wait")
                let biggest = try #require(try remote.objects().max { $0.value < $1.value }?.key)
                try FileManager.default.removeItem(at: remote.folder.appendingPathComponent(biggest))
                _ = try await runProgram(["dd", "if=\(image)", "of=/dev/null", "bs=64K", "count=1"])
                expect(try await examine(daemon), has: "problem", "disk first", "missing or damaged on the remote: 1")
                let told = try await daemon.eventsNow("--since", "0", "--type", "disk.damaged")
                #expect(told.output.split(separator: "\n").count == 1 && told.output.contains(biggest), "\(told)")
                try await daemon.mustCtl("detach", "first")
                try FileManager.default.removeItem(at: remote.folder)
                let attach = try await daemon.ctl(["attach", "first", "--fs", "none"])
                #expect(!attach.isSuccess, "\(attach)")
                let failed = try await examine(daemon, ["first"])
                expect(failed, has: "problem", "disk first", "failed: ")
                #expect(failed.findings.count { $0.text.contains("failed: ") } == 1, "said twice: \(failed.findings)")
            }
        }
    }
}
