import Foundation
import Testing
import VDriveTestKit

extension Integration {
    /// ext4 and real programs on top, while the daemon is killed.
    @Suite(.serialized)
    struct FilesystemOnTopTests {
        static let kills = TortureForm.current.rounds(short: 2, long: 12)

        @Test(.timeLimit(.minutes(30)), arguments: Workload.allCases)
        func `after kill -9 under a real workload all that it was promised is there`(workload: Workload) async throws {
            let seed = TortureForm.current.seed
            var generator = Generator(seed: seed)
            try await DaemonUnderTest.use("top") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let work = Work(workload: workload, daemon: daemon, remote: remote)
                try await Workload.makeRepository(at: work.repository)
                try await daemon.create(
                    "disk",
                    size: "2G",
                    on: remote,
                    "--chunk-size",
                    "1M",
                    "--cache-size",
                    "512M",
                    "--upload-interval",
                    "0.3"
                )
                try await daemon.mustCtl("attach", "disk", "--mount", work.mount, "--fs", "ext4")
                var steps = 0
                for kill in 1...Self.kills {
                    let moment = "\(workload.rawValue), kill \(kill), seed \(seed)"
                    let committed = try await work.runUntilKilled(&generator)
                    steps = try work.acknowledged()
                    let copy = "\(daemon.folder)/kept-\(kill)"
                    try await mustRun(["cp", "-al", remote.folder.path, copy])
                    try await daemon.start()
                    _ = try await daemon.waitUntilAttached("disk")
                    print("\(moment): \(steps) steps acknowledged, \(committed) of them before the last sync")
                    try await workload.check(mount: work.mount, acknowledged: steps, repository: work.repository)
                    try await work.checkFilesystem()
                    try await work.checkRemote(copy, committed: committed)
                    try FileManager.default.removeItem(atPath: copy)
                    try await daemon.mustCtl("attach", "disk", "--mount", work.mount, "--fs", "ext4")
                }
                try await daemon.mustCtl("detach", "disk")
                #expect(steps > 0, "nothing was acknowledged")
                TortureForm.report(
                    "\(workload.rawValue):",
                    ["kills": Self.kills, "remotes": Self.kills, "steps": steps]
                )
            }
        }
    }
}

/// One workload on one disk.
private struct Work: Sendable {
    let workload: Workload
    let daemon: DaemonUnderTest
    let remote: TestRemote

    var mount: String { daemon.mountPoint("disk") }
    var repository: String { "\(daemon.folder)/repository" }
    private var notes: String { "\(daemon.folder)/notes" }

    /// The last number that the workload has noted.
    func acknowledged() throws -> Int {
        guard let text = try? String(contentsOfFile: notes, encoding: .utf8) else { return 0 }
        let whole = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().last { !$0.isEmpty }
        return whole.flatMap { Int($0) } ?? 0
    }

    /// Works for a while, with a sync on the way, until the daemon is killed.
    ///
    /// - Returns: what was acknowledged before the sync that was answered last.
    func runUntilKilled(_ generator: inout Generator) async throws -> Int {
        let before = Int.random(in: 300...1000, using: &generator)
        let after = Int.random(in: 50...1200, using: &generator)
        let command = workload.command(mount: mount, notes: notes, repository: repository)
        return try await withThrowingTaskGroup(of: Int?.self) { group in
            group.addTask {
                // It ends when the disk is gone; until then its errors are nobody's.
                _ = try await runProgram(command, timeoutSeconds: 120)
                return nil
            }
            group.addTask {
                try await Task.sleep(for: .milliseconds(before))
                let committed = try acknowledged()
                try await daemon.mustCtl("sync", "disk")
                try await Task.sleep(for: .milliseconds(after))
                try await daemon.crash()
                return committed
            }
            return try await group.reduce(0) { $0 + ($1 ?? 0) }
        }
    }

    /// The journal was replayed by the mount; then the bare image is clean. The disk is detached afterwards.
    func checkFilesystem() async throws {
        try await daemon.mustCtl("detach", "disk")
        let image = try await daemon.attachImage("disk")
        try await mustRun(["e2fsck", "-fn", image])
        try await daemon.mustCtl("detach", "disk")
    }

    /// An earlier state, as good as after a power cut, with everything of before the sync.
    func checkRemote(_ copy: String, committed: Int) async throws {
        let folder = URL(fileURLWithPath: copy)
        let place = "\(daemon.folder)/mnt-copy"
        try await withRemoteAlone(folder, ["--mount", place]) { other, _ in
            try await workload.check(mount: place, acknowledged: committed, repository: repository)
            try await other.mustCtl("detach", "copy")
            let image = try await other.attachImage("copy")
            try await mustRun(["e2fsck", "-fn", image])
        }
    }
}
