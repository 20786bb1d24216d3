import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The remote is at every moment some instant's disk: with ext4 on top, every single commit is a filesystem whose
    /// journal makes it whole.
    @Suite(.serialized)
    struct EveryCommitTests {
        /// Files of all kinds: small ones, growing ones, renamed and removed ones, folders, a database's fsyncs.
        private static let mixedWork = """
            import os, random, sys, time
            mount, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
            dice = random.Random(seed)
            os.makedirs(mount + "/files", exist_ok=True)
            names, number, end = [], 0, time.monotonic() + seconds
            while time.monotonic() < end:
                number += 1
                act = dice.randrange(10)
                if act < 4 or len(names) < 20:
                    folder = f"{mount}/files/{dice.randrange(12)}"
                    os.makedirs(folder, exist_ok=True)
                    name = f"{folder}/{number}"
                    with open(name, "wb") as file: file.write(dice.randbytes(dice.randrange(1, 60_000)))
                    names.append(name)
                elif act < 6:
                    with open(dice.choice(names), "ab") as file:
                        file.write(dice.randbytes(dice.randrange(1, 20_000)))
                        if dice.randrange(2): file.flush(); os.fsync(file.fileno())
                elif act < 7:
                    name = names.pop(dice.randrange(len(names)))
                    names.append(name + "r")
                    os.rename(name, name + "r")
                elif act < 9: os.unlink(names.pop(dice.randrange(len(names))))
                else:
                    with open(dice.choice(names), "r+b") as file:
                        file.truncate(dice.randrange(30_000))
                if dice.randrange(20) == 0: os.sync()
                time.sleep(dice.random() * 0.01)
            """

        @Test(.timeLimit(.minutes(30)))
        func `ext4 is clean at every commit after its journal is replayed`() async throws {
            let form = TortureForm.current
            let seconds = form.isLong ? 60 : 3
            // Nothing is ever deleted: each commit can be rebuilt.
            let faults = ["VDRIVE_FAULTS": "garbage.before-delete=fail"]
            try await DaemonUnderTest.use("commits", environment: faults) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("disk")
                try await daemon.create(
                    "disk",
                    size: "256M",
                    on: remote,
                    "--chunk-size",
                    "256K",
                    "--upload-interval",
                    "0.05"
                )
                try await daemon.mustCtl("attach", "disk", "--mount", mount, "--fs", "ext4")
                // From here on there is a filesystem; what the commits of mkfs hold is none.
                try await daemon.mustCtl("sync", "disk")
                let first = try #require(try await daemon.status("disk").epoch)
                let work = ["python3", "-c", Self.mixedWork, mount, "\(form.seed)", "\(seconds)"]
                try await mustRun(work, timeoutSeconds: seconds + 60)
                try await daemon.mustCtl("detach", "disk")
                let commits = try await Self.commits(of: remote, from: first)
                #expect(commits.count >= 3 * seconds, "only \(commits.count) commits in \(seconds) s")
                var replayed = 0
                for commit in commits {
                    if try await Self.check(commit, of: remote, in: daemon.folder, seed: form.seed) { replayed += 1 }
                }
                #expect(replayed > commits.count / 2, "hardly any commit has a journal to replay")
                TortureForm.report(
                    "every commit:",
                    ["commits": commits.count, "replayed": replayed]
                )
            }
        }

        private static func rebuild(_ arguments: [String]) async throws -> String {
            let script = SharedTools.packageFolder.appendingPathComponent("contrib/rebuild/rebuild").path
            return try await mustRun(["python3", script] + arguments)
        }

        /// As `rebuild` names them, oldest first.
        private static func commits(of remote: TestRemote, from first: UInt64) async throws -> [String] {
            try await rebuild(["--list", remote.folder.path]).split(separator: "\n").compactMap { line in
                guard let name = line.split(separator: " ").first, let epoch = name.split(separator: "-").last else {
                    return nil
                }
                return UInt64(epoch).map { $0 >= first } == true ? String(name) : nil
            }
        }

        /// - Returns: whether the journal had something to replay.
        private static func check(
            _ commit: String,
            of remote: TestRemote,
            in folder: String,
            seed: UInt64
        ) async throws -> Bool {
            let image = "\(folder)/commit.image"
            defer { try? FileManager.default.removeItem(atPath: image) }
            _ = try await rebuild(["--commit", commit, remote.folder.path, image])
            let needsReplay = try await mustRun(["dumpe2fs", "-h", image]).contains("needs_recovery")
            // Replays the journal and nothing else; 1 says that it did.
            let replay = try await runProgram(["e2fsck", "-y", "-E", "journal_only", image])
            #expect(replay.status <= 1, "seed \(seed), commit \(commit): \(replay)")
            let check = try await runProgram(["e2fsck", "-fn", image])
            #expect(check.isSuccess, "seed \(seed), commit \(commit): \(check)")
            return needsReplay
        }
    }
}
