import Foundation
import Linux
import Synchronization
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// What an fsync promises on a disk with durability `remote`: it survives the loss of the whole machine.
    @Suite(.serialized)
    struct DurabilityTests {
        private static let writers = 4
        private static let pagesPerWriter: UInt64 = 4096

        @Test(.timeLimit(.minutes(2)), arguments: [TestRemote.Kind.file, .apache])
        func `every acknowledged fsync is in the disk imported from the remote alone`(
            kind: TestRemote.Kind
        ) async throws {
            try await DaemonUnderTest.use("durable-\(kind)") { daemon in
                let remote = try await TestRemote.make(kind, for: daemon)
                // Nothing but an fsync makes it upload.
                try await daemon.create(
                    "disk",
                    size: "64M",
                    on: remote,
                    "--chunk-size",
                    "256K",
                    "--durability",
                    "remote",
                    "--upload-interval",
                    "3600"
                )
                let image = try await daemon.attachImage("disk")
                let journal = WriteJournal()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<Self.writers {
                        group.addTask {
                            try await blocking { Self.write(to: image, writer: UInt64(writer), journal) }
                        }
                    }
                    // In the middle of things, but not before every writer has been answered a few times.
                    while journal.fsyncs.min() ?? 0 < 5 { try await Task.sleep(for: .milliseconds(20)) }
                    try await daemon.crash()
                    try await group.waitForAll()
                }
                try await burnDown(daemon)
                try await daemon.importDisk("disk", from: remote)
                try await daemon.mustCtl("attach", "disk", "--fs", "none", "--takeover")
                let wrong = try await blocking { try journal.check(image) }
                #expect(wrong.isEmpty, "\(wrong.prefix(5))")
                let commits = try remote.objects().keys.count { $0.hasPrefix("commits/") }
                say("durability remote on \(kind): \(journal.fsyncs.reduce(0, +)) fsyncs, \(commits) commits")
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// Writes stamped pages and calls fsync after every few, until the disk dies.
        private static func write(to path: String, writer: UInt64, _ journal: WriteJournal) {
            var generator = Generator(seed: writer + 1)
            guard let image = try? ImageFile(path) else { return }
            for round in 1... {
                var pages: Set<UInt64> = []
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    pages.insert(writer * pagesPerWriter + UInt64.random(in: 0..<pagesPerWriter, using: &generator))
                }
                journal.issue(pages, version: UInt64(round))
                do {
                    for page in pages {
                        try image.write(WriteJournal.stamp(page, UInt64(round)), at: page * 4096)
                    }
                    try image.file.sync()
                } catch {
                    return
                }
                journal.acknowledge(pages, version: UInt64(round), writer: Int(writer))
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `SQLite on ext4 has every acknowledged row after the machine is lost`() async throws {
            try await DaemonUnderTest.use("durable-sqlite") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "1G", on: remote, "--upload-interval", "3600")
                let mount = daemon.mountPoint("disk")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                // The change counts from the next fsync on, also for what was written before it.
                try await daemon.mustCtl("configure", "disk", "--durability", "remote")
                let acknowledged = "\(daemon.folder)/acknowledged"
                let inserting = Task {
                    try await runProgram(["python3", "-c", Self.inserts, "\(mount)/rows.db", acknowledged])
                }
                while Self.count(acknowledged) < 20 { try await Task.sleep(for: .milliseconds(20)) }
                try await daemon.crash()
                _ = try await inserting.value
                let rows = Self.count(acknowledged)
                try await burnDown(daemon)
                try await daemon.importDisk("disk", from: remote)
                try await daemon.mustCtl("attach", "disk", "--mount", mount, "--takeover")
                let answer = try await mustRun([
                    "sqlite3", "\(mount)/rows.db", "pragma integrity_check; select count(*), max(id) from rows",
                ])
                let lines = answer.split(separator: "\n")
                #expect(lines.first == "ok")
                let found = lines.last?.split(separator: "|").compactMap { Int($0) } ?? []
                #expect(found.count == 2 && found[0] == found[1] && found[0] >= rows, "\(found) of \(rows)")
                say("durability remote under SQLite: \(rows) acknowledged rows, \(found.first ?? 0) found")
                try await daemon.mustCtl("detach", "disk")
                let image = try await daemon.attachImage("disk")
                try await mustRun(["e2fsck", "-fn", image])
                try await daemon.mustCtl("detach", "disk")
            }
        }

        private static let inserts = """
            import os, sqlite3, sys
            db = sqlite3.connect(sys.argv[1])
            # Beside full: the unlink of the journal, which is the commit, is synced too.
            db.execute("pragma synchronous=extra")
            db.execute("create table rows (id integer primary key, text)")
            db.commit()
            log = open(sys.argv[2], "w")
            for row in range(1, 100000):
                db.execute("insert into rows values (?, ?)", (row, "x" * (row % 3000)))
                db.commit()
                log.write("%d\\n" % row)
                log.flush()
            """

        private static func count(_ path: String) -> Int {
            (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n").count ?? 0
        }

        @Test(.timeLimit(.minutes(1)))
        func `durability and upload interval change live, and are remembered`() async throws {
            try await DaemonUnderTest.use("configure") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--upload-interval", "3600")
                let image = try await daemon.attachImage("disk")
                var status = try await daemon.status("disk")
                #expect(status.durability == .local && status.uploadIntervalSeconds == 3600)
                let write = { @Sendable (byte: UInt8) in
                    try await blocking {
                        let file = try ImageFile(image)
                        try file.write([UInt8](repeating: byte, count: 8192), at: 65536)
                        try file.file.sync()
                    }
                }
                try await write(1)
                #expect(try await daemon.status("disk").cache.dirtyBytes == 8192, "local: nobody uploads for an fsync")
                let answer = try await daemon.mustCtl("configure", "disk", "--durability", "remote")
                #expect(answer == "configured disk: durability remote, upload interval 3600.0 s, cache policy s3fifo\n")
                try await write(2)
                #expect(try await daemon.status("disk").cache.dirtyBytes == 0)
                try await daemon.terminate()
                try await daemon.start()
                status = try await daemon.waitUntilAttached("disk")
                #expect(status.durability == .remote && status.uploadIntervalSeconds == 3600)
                try await write(3)
                #expect(try await daemon.status("disk").cache.dirtyBytes == 0)
                try await daemon.mustCtl("configure", "disk", "--durability", "local", "--upload-interval", "0.1")
                try await write(4)
                while try await daemon.status("disk").cache.dirtyBytes != 0 {
                    try await Task.sleep(for: .milliseconds(50))
                }
                try await daemon.mustCtl("detach", "disk")
                try await daemon.mustCtl("configure", "disk", "--upload-interval", "7.5")
                #expect(try await daemon.status("disk").uploadIntervalSeconds == 7.5)
                for bad in [["--upload-interval", "0.01"], ["--upload-interval", "3601"], ["--durability", "both"]] {
                    #expect(try await daemon.ctl(["configure", "disk"] + bad).status == 2, "\(bad)")
                }
                #expect(try await daemon.ctl(["configure", "other", "--durability", "local"]).status == 1)
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `with the remote away a detach ends, keeps the data and says so; so does the daemon`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await LinkProxy(to: server.port)
            defer { proxy.stop() }
            try await DaemonUnderTest.use("durable-away") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: proxy.port)
                try await daemon.create("disk", size: "1G", on: remote, "--durability", "remote")
                let mount = daemon.mountPoint("disk")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                try await mustRun(["sh", "-c", "echo one >\"$0/one\"; sync \"$0/one\"", mount])
                try proxy.tell("refuse")
                try await mustRun(["sh", "-c", "echo two >\"$0/two\"", mount])
                let detaching = try await seconds {
                    let answer = try await daemon.ctl(["detach", "disk"], timeoutSeconds: 90)
                    #expect(answer.status == 1 && answer.errors.contains("stays"), "\(answer)")
                }
                #expect(try await daemon.status("disk").state != .attached)
                try proxy.tell("pass")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                #expect(try await mustRun(["cat", "\(mount)/one", "\(mount)/two"]) == "one\ntwo\n")
                // Now an fsync waits for the remote when the daemon is told to end.
                try proxy.tell("refuse")
                let fsync = Task {
                    try await runProgram(["sh", "-c", "echo three >\"$0/three\"; sync \"$0/three\"", mount])
                }
                try await Task.sleep(for: .seconds(1))
                let ending = try await seconds { try await daemon.terminate() }
                _ = try await fsync.value
                try proxy.tell("pass")
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("disk")
                #expect(try await mustRun(["cat", "\(mount)/three"]) == "three\n")
                try await daemon.mustCtl("detach", "disk")
                let image = try await daemon.attachImage("disk")
                try await mustRun(["e2fsck", "-fn", image])
                try await daemon.mustCtl("detach", "disk")
                say("remote away: detach ends after \(text(detaching)) s, the daemon after \(text(ending)) s")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `right after a kill the dead daemon's mount is not taken for a living one`() async throws {
            try await DaemonUnderTest.use("kill-attach") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote)
                for round in 0..<3 {
                    let image = try await daemon.attachImage("disk")
                    // The kernel now knows the attributes of image and folder for a second.
                    let folder = URL(fileURLWithPath: image).deletingLastPathComponent().path
                    _ = try await blocking { (try FileStatus.of(image), try FileStatus.of(folder)) }
                    try await daemon.crash()
                    try await burnDown(daemon)
                    try await daemon.importDisk("disk", from: remote)
                    let answer = try await daemon.ctl(["attach", "disk", "--fs", "none", "--takeover"])
                    #expect(answer.isSuccess, "round \(round): \(answer)")
                }
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// The machine is lost: state and cache are gone, the daemon is dead.
        private func burnDown(_ daemon: DaemonUnderTest) async throws {
            try FileManager.default.removeItem(atPath: daemon.stateDirectory)
            try await daemon.start()
        }
    }
}

/// What was written to which page, and what of it an fsync has acknowledged. Any thread.
private final class WriteJournal: Sendable {
    private struct Page {
        var acknowledged: UInt64 = 0
        var issued: UInt64 = 0
    }

    private let state = Mutex((pages: [UInt64: Page](), fsyncs: [Int](repeating: 0, count: 4)))

    /// Answered fsyncs, by writer.
    var fsyncs: [Int] { state.withLock { $0.fsyncs } }

    func issue(_ pages: Set<UInt64>, version: UInt64) {
        state.withLock { for page in pages { $0.pages[page, default: Page()].issued = version } }
    }

    func acknowledge(_ pages: Set<UInt64>, version: UInt64, writer: Int) {
        state.withLock { state in
            state.fsyncs[writer] += 1
            for page in pages { state.pages[page]?.acknowledged = version }
        }
    }

    /// A page that says which one it is, and of which round.
    static func stamp(_ page: UInt64, _ version: UInt64) -> [UInt8] {
        var generator = Generator(seed: page << 24 ^ version)
        var bytes = generator.bytes(4096)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: version, as: UInt64.self) }
        return bytes
    }

    /// - Returns: a sentence for each page that is older than what was acknowledged, or none that was ever written.
    func check(_ path: String) throws -> [String] {
        let image = try ImageFile(path)
        return try state.withLock { $0.pages }.compactMap { number, page in
            let bytes = try image.read(at: number * 4096, count: 4096)
            let version = bytes.withUnsafeBytes { $0.load(as: UInt64.self) }
            let isWhole = version == 0 ? bytes.allSatisfy { $0 == 0 } : bytes == Self.stamp(number, version)
            let isRight = isWhole && version >= page.acknowledged && version <= page.issued
            return isRight ? nil : "page \(number): round \(version), acknowledged \(page.acknowledged)"
        }
    }
}
