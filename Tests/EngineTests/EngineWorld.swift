import Foundation
import Linux
import Logging
import Synchronization
import Testing
import VDriveDataPlane
import VDriveFormat
import VDriveMetadata
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// A disk without a kernel: the engine on a store, driven through the data plane as FUSE threads do it.
final class EngineWorld: Sendable {
    let folder: String
    let store: any ObjectStore
    let geometry: DiskGeometry
    let cacheBytes: UInt64
    /// In place of the standard ones for `cacheBytes`.
    let limits: CacheLimits?
    let durability: Durability
    let uploadInterval: Duration
    /// What the disks have told.
    let reports = Mutex<[DiskReport]>([])
    let cachePolicy: CachePolicy
    private let state = Mutex<(disk: Disk, task: Task<Void, Never>?)?>(nil)

    /// In memory where there is such a place: what these tests check does not depend on how long an fsync takes.
    /// Its names begin with the temporary folder's, so that whoever gave that can clear away what a killed run left.
    static let parent =
        FileManager.default.isWritableFile(atPath: "/dev/shm")
        ? "/dev/shm/\(URL(fileURLWithPath: NSTemporaryDirectory()).lastPathComponent)-"
        : NSTemporaryDirectory() + "/"

    /// Makes a disk on the store, unless there is one.
    init(
        store: any ObjectStore = MemoryStore(),
        diskBytes: UInt64 = 64 << 20,
        chunkBytes: Int = 1 << 20,
        cacheBytes: UInt64 = 32 << 20,
        limits: CacheLimits? = nil,
        folder: String? = nil,
        durability: Durability = .local,
        uploadInterval: Duration = .seconds(5),
        cachePolicy: CachePolicy = .s3fifo
    ) async throws {
        self.store = store
        self.cacheBytes = limits?.hardBytes ?? cacheBytes
        self.limits = limits
        self.durability = durability
        self.uploadInterval = uploadInterval
        self.cachePolicy = cachePolicy
        geometry = try DiskGeometry(diskBytes: diskBytes, chunkBytes: chunkBytes)
        self.folder = folder ?? Self.parent + "vdrive-engine-\(UUID().uuidString)"
        try Directory.createAll(self.folder)
        if try await store.length(of: .descriptor) == nil {
            _ = try await DiskFormatter.create(store: remote, geometry: geometry)
        }
    }

    deinit { try? Directory.removeTree(folder) }

    var remote: RemoteStore { RemoteStore(reads: store, writes: store, brief: store, meter: StoreMeter()) }
    var disk: Disk { state.withLock { $0!.disk } }
    var plane: DataPlane { disk.dataPlane }

    func attach(
        _ intent: AttachIntent = AttachIntent(),
        isReadOnly: Bool = false,
        runs: Bool = true,
        goesOn: @escaping @Sendable () -> Bool = { true }
    ) async throws {
        let disk = try await Disk.attach(options(intent, isReadOnly: isReadOnly, goesOn: goesOn))
        state.withLock { $0 = (disk, nil) }
        if runs { run() }
    }

    /// Opens what is on this machine alone.
    func openLocal() async throws {
        let disk = try await Disk.openLocal(options(AttachIntent()))
        state.withLock { $0 = (disk, nil) }
        run()
    }

    /// Lets an attached disk serve.
    func run() {
        state.withLock { state in
            let disk = state!.disk
            state!.task = Task { await disk.run() }
        }
    }

    private func options(
        _ intent: AttachIntent,
        isReadOnly: Bool = false,
        goesOn: @escaping @Sendable () -> Bool = { true }
    ) -> DiskOptions {
        var logger = Logger(label: "world")
        logger.logLevel = .critical
        return DiskOptions(
            name: "world",
            store: remote,
            cacheDirectory: folder + "/cache",
            stateDirectory: folder + "/state",
            limits: limits ?? CacheLimits(hardBytes: cacheBytes),
            durability: durability,
            uploadInterval: uploadInterval,
            cachePolicy: cachePolicy,
            lostObjectPatience: .milliseconds(200),
            intent: intent,
            isReadOnly: isReadOnly,
            logger: logger,
            softwareVersion: "test",
            // Weak: a world whose test failed while it was attached is to go, with its folder.
            report: { [weak self] report in self?.reports.withLock { $0.append(report) } },
            goesOn: goesOn
        )
    }

    func detach(commit: Bool = true, releasing: Bool = true) async throws {
        try await checkRecords(of: end(commit: commit, releasing: releasing))
    }

    private func end(commit: Bool, releasing: Bool) async throws -> Disk {
        let (disk, task) = state.withLock { state in
            defer { state = nil }
            return state!
        }
        try await disk.stop(commit: commit, releasing: releasing)
        await task?.value
        return disk
    }

    /// What LMDB says after a stop is what was in the cache, page by page.
    private func checkRecords(of disk: Disk) async throws {
        let recorded = Dictionary(uniqueKeysWithValues: try MetadataStore(directory: folder + "/state").pages())
        let cached = await disk.cache.recordsInMemory(of: Set(recorded.keys))
        for (chunk, record) in cached where recorded[chunk] != record {
            Issue.record("LMDB says of \(chunk) \(recorded[chunk] as Any), but it is \(record as Any)")
        }
    }

    /// Leaves the folders as `kill -9` would: as they are now, with nothing recorded at a stop.
    func crash() async throws {
        // What went up after the copy would be the work of somebody else; a commit that is on its way may still land.
        await disk.pauseUploads()
        let image = folder + "-crash"
        defer { try? Directory.removeTree(image) }
        // A copy of LMDB's file is one instant's only when nothing was written meanwhile.
        repeat {
            try? Directory.removeTree(image)
            try await mustRun(["cp", "-a", folder, image])
        } while try await !runProgram(["cmp", folder + "/state/data.mdb", image + "/state/data.mdb"]).isSuccess
        _ = try await end(commit: false, releasing: false)
        try loseMachine()
        for name in ["cache", "state"] { try Directory.rename(image + "/" + name, to: folder + "/" + name) }
    }

    /// A copy of LMDB's file; call it when nothing is being written to it.
    func copyState() throws -> String {
        let copy = folder + "/state-before"
        try Directory.createAll(copy)
        for name in try Directory.list(folder + "/state") where name != "lock.mdb" {
            let bytes = try readFile(folder + "/state/" + name, maxBytes: 64 << 20)
            try writeFileAtomically(copy + "/" + name, bytes, mode: 0o600)
        }
        return copy
    }

    /// LMDB never heard of what came since. The disk is not attached.
    func putBackState(_ copy: String) throws {
        try Directory.removeTree(folder + "/state")
        try Directory.rename(copy, to: folder + "/state")
    }

    /// Forgets this machine's state, as if it were lost.
    func loseMachine() throws {
        try Directory.removeTree(folder + "/cache")
        try Directory.removeTree(folder + "/state")
    }

    /// Whether it was told that writers wait for room.
    var isUnderPressure: Bool {
        reports.withLock { $0.contains { if case .pressure(true) = $0 { true } else { false } } }
    }

    // MARK: What FUSE threads do

    func read(_ offset: UInt64, _ count: Int) async throws -> [UInt8] {
        switch plane.startRead(offset: offset, count: count) {
        case .zeros: return [UInt8](repeating: 0, count: count)
        case .file(let descriptor, let position):
            defer { plane.finishRead(offset: offset, count: count) }
            return Answer.read(descriptor, position, count)
        case .miss:
            return try await answer { .init(.read(offset: offset, count: count), reply: $0) }.bytes
        }
    }

    func write(_ offset: UInt64, _ bytes: [UInt8]) async throws {
        let code = plane.writeErrno.load(ordering: .relaxed)
        if code != 0 { throw Errno(rawValue: code) }
        if bytes.withUnsafeBytes({ plane.write(offset: offset, bytes: $0) }) { return }
        let buffer = plane.buffers.lease(for: bytes.count)
        buffer.memory.copyBytes(from: bytes)
        let count = bytes.count
        _ = try await answer { .init(.write(offset: offset, count: count, buffer: buffer), reply: $0) }
    }

    func flush() async throws { _ = try await answer { .init(.flush, reply: $0) } }
    func close() async throws { _ = try await answer { .init(.close, reply: $0) } }

    func deallocate(_ offset: UInt64, _ count: UInt64) async throws {
        _ = try await answer { .init(.deallocate(offset: offset, count: count), reply: $0) }
    }

    func seek(_ offset: UInt64, data: Bool) async throws -> UInt64 {
        try await answer { .init(.seek(offset: offset, data: data), reply: $0) }.offset
    }

    private func answer(_ request: @escaping (consuming ReplyHandle) -> Request) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            let box = Unmanaged.passRetained(AnswerBox(continuation))
            plane.ring.submit(request(ReplyHandle(request: box.toOpaque(), table: Answer.table)))
        }
    }
}

struct Answer: Sendable {
    var bytes: [UInt8] = []
    var offset: UInt64 = 0

    static func read(_ descriptor: CInt, _ position: UInt64, _ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            filled = pread(descriptor, buffer.baseAddress, count, off_t(position))
            precondition(filled == count, "short read of the cache file")
        }
    }

    // SAFETY: written once, then only read.
    nonisolated(unsafe) static let table: UnsafePointer<ReplyTable> = {
        let table = UnsafeMutablePointer<ReplyTable>.allocate(capacity: 1)
        table.initialize(
            to: ReplyTable(
                bytes: {
                    AnswerBox.take($0).resume(
                        returning: Answer(bytes: Array(UnsafeRawBufferPointer(start: $1, count: $2)))
                    )
                },
                file: { AnswerBox.take($0).resume(returning: Answer(bytes: Answer.read($1, $2, $3))) },
                wrote: { box, _ in AnswerBox.take(box).resume(returning: Answer()) },
                offset: { AnswerBox.take($0).resume(returning: Answer(offset: $1)) },
                error: { box, code in
                    let continuation = AnswerBox.take(box)
                    if code == 0 {
                        continuation.resume(returning: Answer())
                    } else {
                        continuation.resume(throwing: Errno(rawValue: code))
                    }
                }
            )
        )
        return UnsafePointer(table)
    }()
}

extension CacheActor {
    /// What LMDB should say of these chunks and of all others that are cached, but for those that wait to be checked.
    fileprivate func recordsInMemory(of known: Set<ChunkIndex>) -> [(ChunkIndex, PageRecord?)] {
        known.union(policy.chunks).union(dirty).subtracting(unverified).map { ($0, pageRecord(of: $0)) }
    }
}

private final class AnswerBox {
    let continuation: CheckedContinuation<Answer, any Error>

    init(_ continuation: CheckedContinuation<Answer, any Error>) { self.continuation = continuation }

    static func take(_ place: UnsafeMutableRawPointer) -> CheckedContinuation<Answer, any Error> {
        Unmanaged<AnswerBox>.fromOpaque(place).takeRetainedValue().continuation
    }
}

/// A remote as it is at this instant.
func copy(of store: MemoryStore) async throws -> MemoryStore {
    let copy = MemoryStore()
    for name in store.names.map({ ObjectName($0) }) {
        try await copy.put(name, try await store.get(name, range: nil))
    }
    return copy
}

/// Waits until something is so.
func eventually(
    within limit: Duration = .seconds(30),
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("it did not come to be so within \(limit)", sourceLocation: sourceLocation)
            return
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// Whether two stretches of a disk are equal. Inside an expectation `==` would be explained, when it fails, by a
/// difference of the arrays, which takes for ever for a megabyte.
func same(_ left: [UInt8], _ right: [UInt8]) -> Bool { left == right }

/// A generator that gives the same world for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
