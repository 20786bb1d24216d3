import Foundation
import Linux
import Testing
import VDriveMetadata
import VDriveModel

@testable import VDriveEngine
@testable import VDriveFormat

/// The map and the allocation bitmap as known here, beside nodes that come late.
@Suite struct BitmapTests {
    private let id: DiskID
    private let geometry: DiskGeometry
    private let folder = NSTemporaryDirectory() + "vdrive-bitmap-\(UUID().uuidString)"

    init() throws {
        var random = SystemRandomNumberGenerator()
        id = DiskID(using: &random)
        geometry = try DiskGeometry(diskBytes: 64 << 20, chunkBytes: 64 << 10)
    }

    private func version(_ epoch: UInt64) -> ObjectVersion { ObjectVersion(term: Term(1), epoch: Epoch(epoch)) }

    private func entry(_ epoch: UInt64) -> MapEntry {
        MapEntry(
            version: version(epoch),
            objectBytes: UInt32(ChunkObject.headerBytes + 4000 + SeekTable.length(frames: 1)),
            frameBytes: [4000],
            frameChecksums: [0],
            hash: ContentHash(0)
        )
    }

    private func commit(_ epoch: UInt64, _ chunk: UInt64, checkpoint: Checkpoint? = nil) -> CommitRecord {
        CommitRecord(
            version: version(epoch),
            parent: version(epoch - 1),
            diskBytes: geometry.diskBytes,
            allocatedChunks: 1,
            checkpoint: checkpoint,
            createdAt: 0,
            entries: [CommitEntry(chunk: ChunkIndex(chunk), entry: entry(epoch))]
        )
    }

    /// Two readers ask for the same node. The one is slow between asking and fetching; meanwhile the other's answer
    /// serves a checkpoint, which replaces the node.
    @Test("a node that comes after a checkpoint has replaced it says nothing of what is allocated")
    func lateNode() async throws {
        try Directory.createAll(folder)
        defer { try? Directory.removeTree(folder) }
        let executor = ThreadExecutor(name: "test-lmdb")
        defer { executor.stop() }
        let bitmap = BitmapActor(executor: executor, id: id, geometry: geometry)
        _ = try await bitmap.open(directory: folder)
        let old = Checkpoint(root: version(1), levels: 2, epoch: Epoch(1))
        try await bitmap.adopt([commit(1, 7, checkpoint: old), commit(2, 5, checkpoint: old)])

        var leaf = MapNode.empty(level: 0, index: 0, version: version(1))
        guard case .chunks(var chunks) = leaf.slots else { return }
        chunks[7] = entry(1)
        leaf.slots = .chunks(chunks)
        var root = MapNode.empty(level: 1, index: 0, version: version(1))
        guard case .nodes(var children) = root.slots else { return }
        children[0] = MapChild(version: version(1), allocatedChunks: 1)
        root.slots = .nodes(children)
        try await bitmap.install(root, root.encode(disk: id))
        try await bitmap.install(leaf, leaf.encode(disk: id))
        guard case .nodes(let nodes) = await bitmap.planCheckpoint(at: version(3), with: commit(3, 9).entries) else {
            Issue.record("a node is missing")
            return
        }
        let third = commit(3, 9, checkpoint: nodes.checkpoint)
        let superblock = Superblock(
            id: id,
            diskBytes: geometry.diskBytes,
            chunkBytes: geometry.chunkBytes,
            term: Term(1),
            head: third.version,
            cacheID: 1,
            isClean: false,
            allocationIsComplete: false
        )
        let batch = try await bitmap.prepare(third, checkpoint: nodes, garbage: [], superblock: superblock)
        try await bitmap.note(batch)
        try await bitmap.committed(third, checkpoint: nodes)

        try await bitmap.install(leaf, leaf.encode(disk: id))
        for chunk: UInt64 in [5, 7, 9] {
            #expect(await bitmap.localEntry(of: ChunkIndex(chunk)) == .allocated, "chunk \(chunk)")
        }
        #expect(await bitmap.localEntry(of: ChunkIndex(6)) == .unallocated)
        await bitmap.close()
    }
}
