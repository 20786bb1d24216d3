import Foundation
import Glibc
import Synchronization
import VDriveClient
import VDriveProtocol
import VDriveTestKit

/// One disk under torture: a daemon, a store, and what is known of the disk outside of both.
struct TortureWorld: Sendable {
    struct Shape: Sendable {
        var seed: UInt64
        var writers = 1
        var chunkSize = "256K"
        /// A quarter of the disk, so that chunks are evicted and come back.
        var cacheSize = "16M"
        /// Bytes.
        var size = 64 << 20
    }

    /// Tells the writers to end.
    private final class Whistle: Sendable {
        let isOver = Atomic(false)
        func blow() { isOver.store(true, ordering: .relaxed) }
    }

    static let disk = "disk"
    let daemon: DaemonUnderTest
    let remote: TestRemote
    let shape: Shape
    let shadow: SharedShadow
    /// The same after every start.
    let image: String

    var seed: UInt64 { shape.seed }

    /// Creates the disk and attaches it bare.
    static func make(_ daemon: DaemonUnderTest, _ shape: Shape) async throws -> TortureWorld {
        let remote = try await TestRemote.make(.file, for: daemon)
        try await daemon.create(
            disk,
            size: "\(shape.size)",
            on: remote,
            "--chunk-size",
            shape.chunkSize,
            "--cache-size",
            shape.cacheSize
        )
        let image = try await daemon.attachImage(disk)
        let layout = ShadowDisk.Layout(sectors: shape.size / 4096, writers: shape.writers, seed: shape.seed)
        return TortureWorld(
            daemon: daemon,
            remote: remote,
            shape: shape,
            shadow: SharedShadow(layout),
            image: image
        )
    }

    // MARK: Load

    /// Writes, punches, flushes, syncs and evicts for as long as the body runs.
    ///
    /// - Parameter salt: another one for every round, or the writers repeat themselves.
    /// - Returns: how each writer came to its end.
    @discardableResult
    func underLoad(salt: UInt64, _ body: @Sendable () async throws -> Void) async throws -> [StampedWriter.End] {
        let whistle = Whistle()
        return try await withThrowingTaskGroup(of: StampedWriter.End?.self) { group in
            for number in 0..<shape.writers {
                let writer = StampedWriter(image: image, number: number, shadow: shadow, isDirect: number % 2 == 1)
                let seed = seed &+ salt &* 1_000_003 &+ UInt64(number)
                group.addTask { try await blocking { try writer.run(seed: seed, until: whistle.isOver) } }
            }
            group.addTask {
                await disturb(seed: seed &+ salt, whistle)
                return nil
            }
            do {
                try await body()
            } catch {
                whistle.blow()
                var ends: [StampedWriter.End] = []
                while let end = try? await group.next() { if let end { ends.append(end) } }
                throw TortureFailure("under load", ["\(error)", "the writers: \(ends)"])
            }
            whistle.blow()
            return try await group.reduce(into: []) { ends, end in if let end { ends.append(end) } }
        }
    }

    /// Syncs and evicts at random times; ends with the writers, or when the daemon is gone.
    private func disturb(seed: UInt64, _ whistle: Whistle) async {
        var generator = Generator(seed: seed)
        do {
            while !whistle.isOver.load(ordering: .relaxed) {
                try await Task.sleep(for: .milliseconds(Int.random(in: 10...120, using: &generator)))
                switch Int.random(in: 0..<8, using: &generator) {
                case 0..<5: try await sync()
                case 5: try await evict(wait: true)
                default: try await evict(wait: false)
                }
            }
        } catch {
            // The daemon has died, as it should; if not, the test finds out.
        }
    }

    /// What is written now is on the remote afterwards, and the shadow knows so.
    func sync() async throws {
        try await blocking {
            var connection = try ControlConnection(path: daemon.socket)
            let numbers = shadow.with { disk in (0..<disk.layout.writers).map { disk.completed($0) } }
            _ = try connection.call(DiskSync.self, DiskNameParameters(name: Self.disk))
            shadow.with { $0.synced(numbers) }
        }
    }

    func evict(wait: Bool) async throws {
        try await blocking {
            var connection = try ControlConnection(path: daemon.socket)
            _ = try connection.call(CacheEvict.self, CacheEvict.Parameters(name: Self.disk, wait: wait))
        }
    }

    /// Writes single sectors of writer 0, each with a commit of its own.
    func commitOften(_ count: Int) async throws {
        for _ in 0..<count {
            _ = try await writeUnflushed(1)
            try await sync()
        }
    }

    /// Writes the first sectors of writer 0, and flushes nothing.
    ///
    /// - Returns: what keeps the files open: their close flushes.
    func writeUnflushed(_ count: Int) async throws -> StampedWriter.OpenFiles {
        try await blocking {
            try StampedWriter(image: image, number: 0, shadow: shadow, isDirect: false).write(sectors: 0..<count)
        }
    }

    // MARK: Checkers

    /// Checker A, on a disk that has come up again; the next round begins.
    ///
    /// - Parameter isTwofold: everything is read again after an eviction, and must be the same.
    func checkLocal(_ moment: String, isTwofold: Bool = false) async throws {
        _ = try await daemon.waitUntilAttached(Self.disk)
        let found = try await snapshot()
        let complaints = shadow.with { $0.complaints(about: found) }
        guard complaints.isEmpty else { throw TortureFailure("\(moment), checker A", complaints) }
        shadow.with { $0.beginRound(with: found) }
        guard isTwofold else { return }
        try await evict(wait: true)
        let again = try await snapshot()
        let changed = zip(found.numbers, again.numbers).enumerated().filter { $1.0 != $1.1 }
            .map { "sector \($0) showed \($1.0), and \($1.1) after an eviction" }
        guard changed.isEmpty, again.damage.isEmpty else {
            throw TortureFailure("\(moment), read again", again.damage + changed)
        }
    }

    func snapshot() async throws -> DiskSnapshot {
        try await blocking { try DiskSnapshot(of: image, disk: shadow.layout) }
    }

    /// A store at one moment, and what was known of the disk then.
    struct KeptRemote: Sendable {
        fileprivate let folder: URL
        fileprivate let shadow: ShadowDisk
    }

    /// The store as it is now, with hard links: objects never change. The daemon must not run.
    func keepRemote() async throws -> KeptRemote {
        precondition(daemon.pid == 0, "a copy of a store in use is no instant")
        let copy = remote.folder.deletingLastPathComponent().appendingPathComponent("kept-\(UUID().uuidString)")
        try await mustRun(["cp", "-al", remote.folder.path, copy.path])
        return KeptRemote(folder: copy, shadow: shadow.with { $0 })
    }

    /// Checker B, on a copy of the store and another machine; the copy is removed. Nothing to do without a copy.
    func checkRemote(_ kept: KeptRemote?, _ moment: String) async throws {
        guard let kept else { return }
        let found = try await withRemoteAlone(kept.folder, ["--fs", "none"]) { _, status in
            let image = status.image!
            return try await blocking { try DiskSnapshot(of: image, disk: shadow.layout) }
        }
        if case .wrong(let complaints) = kept.shadow.judge(found) {
            throw TortureFailure("\(moment), checker B", complaints)
        }
        try FileManager.default.removeItem(at: kept.folder)
    }
}

/// Runs a body on a machine that knows nothing, which has taken over the disk of a store, under the name `copy`.
func withRemoteAlone<Answer: Sendable>(
    _ store: URL,
    _ attach: [String],
    _ body: (DaemonUnderTest, DiskStatus) async throws -> Answer
) async throws -> Answer {
    var answer: Answer?
    try await DaemonUnderTest.use("alone") { daemon in
        let remote = TestRemote(url: "file://\(store.path)", credentials: nil, folder: store)
        try await daemon.importDisk("copy", from: remote, "--cache-size", "96M")
        let attached = try await daemon.ctl(["attach", "copy", "--takeover"] + attach)
        guard attached.isSuccess else { throw ProgramFailure(answer: attached) }
        answer = try await body(daemon, daemon.status("copy"))
        try await daemon.mustCtl("detach", "copy")
    }
    return answer!
}
