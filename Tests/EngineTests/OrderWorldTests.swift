import Foundation
import Synchronization
import Testing
import VDriveDataPlane
import VDriveEngine
import VDriveModel
import VDriveStore

/// Writers side by side, and a remote that must hold one instant's state: no write without those that were answered
/// before it began.
@Suite struct OrderWorldTests {
    private static let strands = 6
    private static let diskBytes = 2 << 20
    private static let pageCount = diskBytes / DiskGeometry.pageBytes
    private static let chunkBytes = 64 << 10

    /// One write: its page, and the moments of its begin and of its answer. The page holds `begin`.
    private struct Entry {
        var page: Int
        var begin: UInt64
        var end: UInt64
    }

    /// What the writers share.
    private final class Log: Sendable {
        private let moments = Atomic<UInt64>(0)
        let isOver = Atomic(false)
        let entries = Mutex<[Entry]>([])

        /// Moments, in order.
        func now() -> UInt64 { moments.add(1, ordering: .sequentiallyConsistent).newValue }
    }

    @Test("a commit holds with a write all that were answered before it began", arguments: ConcurrentWorldTests.seeds)
    func order(seed: UInt64) async throws {
        let store = MemoryStore()
        let world = try await EngineWorld(
            store: store,
            diskBytes: UInt64(Self.diskBytes),
            chunkBytes: Self.chunkBytes,
            uploadInterval: .seconds(3600)
        )
        try await world.attach(AttachIntent(takesOver: true))
        let log = Log()
        for round in 0..<12 {
            let before = log.now()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for strand in 0..<Self.strands {
                    let random = SeededGenerator(seed: seed << 16 + UInt64(round * Self.strands + strand))
                    group.addTask { try await Self.write(to: world, log, strand, random) }
                }
                try await world.disk.sync()
                log.isOver.store(true, ordering: .relaxed)
                try await group.waitForAll()
            }
            log.isOver.store(false, ordering: .relaxed)
            try await check(try await head(of: store), log, before, "seed \(seed), round \(round)")
            if round % 4 == 3 {
                try await world.disk.sync()
                _ = try await world.disk.evict(wait: true)
            }
        }
        try await world.detach()
    }

    /// The remote as it is now. What garbage goes meanwhile the head does not need, and no other epoch begins.
    private func head(of store: MemoryStore) async throws -> MemoryStore {
        let copy = MemoryStore()
        for name in store.names.map({ ObjectName($0) }) {
            if let bytes = try? await store.get(name, range: nil) { try await copy.put(name, bytes) }
        }
        return copy
    }

    private static func write(
        to world: EngineWorld,
        _ log: Log,
        _ strand: Int,
        _ random: consuming SeededGenerator
    ) async throws {
        while !log.isOver.load(ordering: .relaxed) {
            let page = strand + strands * Int.random(in: 0..<pageCount / strands, using: &random)
            let begin = log.now()
            try await world.write(UInt64(page * DiskGeometry.pageBytes), bytes(begin))
            let end = log.now()
            log.entries.withLock { $0.append(Entry(page: page, begin: begin, end: end)) }
            // A hit does not suspend: without this the writers would keep the threads that the upload needs.
            try await Task.sleep(for: .microseconds(20))
        }
    }

    private static func bytes(_ moment: UInt64) -> [UInt8] {
        [UInt64](repeating: moment, count: DiskGeometry.pageBytes / 8).withUnsafeBytes { Array($0) }
    }

    /// - Parameter synced: the moment before the sync.
    private func check(_ store: MemoryStore, _ log: Log, _ synced: UInt64, _ when: String)
        async throws
    {
        let other = try await EngineWorld(
            store: store,
            diskBytes: UInt64(Self.diskBytes),
            chunkBytes: Self.chunkBytes
        )
        try await other.attach(AttachIntent(takesOver: true))
        var found: [UInt64] = []
        for page in 0..<Self.pageCount {
            let bytes = try await other.read(UInt64(page * DiskGeometry.pageBytes), DiskGeometry.pageBytes)
            let moment = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
            try #require(same(bytes, Self.bytes(moment)), "\(when): page \(page) is torn")
            found.append(moment)
        }
        try await other.detach()
        // The latest begin of what is there; what was answered before that, or before the sync, must be there.
        let latest = max(synced, found.max()!)
        let missing = log.entries.withLock { $0.filter { $0.end < latest && found[$0.page] < $0.begin } }
        #expect(missing.count == 0, "\(when): \(missing.count) writes are missing, as \(missing.first!)")
    }
}
