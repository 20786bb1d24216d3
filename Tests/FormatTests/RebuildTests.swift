import Foundation
import Testing
import VDriveModel

@testable import VDriveFormat

/// A small store made by hand: four commits over two terms, a checkpoint of two levels, a trim, a rewrite.
struct HandmadeStore {
    let folder: URL
    let geometry: DiskGeometry
    /// The disk after each commit, by chunk.
    private(set) var states: [ObjectVersion: [UInt64: [UInt8]]] = [:]
    private(set) var entries: [UInt64: MapEntry] = [:]
    private var contents: [UInt64: [UInt8]] = [:]
    private var parent: ObjectVersion?
    private var checkpoint: Checkpoint?

    init(in folder: URL) throws {
        self.folder = folder
        geometry = try Sample.geometry(65_536, chunks: 600)
        let descriptor = DiskDescriptor(disk: Sample.disk, geometry: geometry, claimPrimitive: "mkdir", createdAt: 1)
        try put(.descriptor, descriptor.encode())
        var random = Seeded(42)
        try commit(1, 1, [0: random.text(65_536), 1: random.noise(65_536), 599: random.text(65_536)])
        try commit(1, 2, [1: random.text(65_536), 513: [UInt8](repeating: 0, count: 65_536)], writingMap: true)
        try commit(1, 3, [0: nil, 7: random.noise(65_536)])
        try commit(2, 4, [7: random.text(65_536), 600 - 2: random.noise(65_536)])
        try put(.latest, LatestHint(version: Self.version(2, 4)).encode())
    }

    static func version(_ term: UInt64, _ epoch: UInt64) -> ObjectVersion {
        ObjectVersion(term: Term(term), epoch: Epoch(epoch))
    }

    func file(_ name: ObjectName) -> URL { folder.appending(path: name.path) }

    private func put(_ name: ObjectName, _ bytes: [UInt8]) throws {
        let file = file(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try Data(bytes).write(to: file)
    }

    private mutating func commit(
        _ term: UInt64,
        _ epoch: UInt64,
        _ changes: [UInt64: [UInt8]?],
        writingMap: Bool = false
    ) throws {
        let version = Self.version(term, epoch)
        var changed: [CommitEntry] = []
        for (index, content) in changes.sorted(by: { $0.key < $1.key }) {
            contents[index] = content
            entries[index] = nil
            if let content {
                let chunk = ChunkIndex(index)
                let (object, entry) = try encodeChunk(content, index: chunk, version: version, geometry: geometry)
                try put(.chunk(chunk, version: version), object)
                entries[index] = entry
            }
            changed.append(CommitEntry(chunk: ChunkIndex(index), entry: entries[index]))
        }
        if writingMap { try writeMap(version) }
        let record = CommitRecord(
            version: version,
            parent: parent,
            diskBytes: geometry.diskBytes,
            allocatedChunks: UInt64(entries.count),
            checkpoint: checkpoint,
            createdAt: 1_700_000_000 + epoch,
            entries: changed
        )
        try put(record.name, record.encode(disk: Sample.disk))
        parent = version
        states[version] = contents
    }

    private mutating func writeMap(_ version: ObjectVersion) throws {
        let shape = MapShape(geometry)
        var children: [MapChild?] = Array(repeating: nil, count: 512)
        for index in 0..<shape.nodeCount(level: 0) {
            let range = shape.chunks(ofNode: index, level: 0)
            var slots: [MapEntry?] = Array(repeating: nil, count: 512)
            for chunk in range { slots[shape.slot(of: ChunkIndex(chunk), level: 0)] = entries[chunk] }
            let node = MapNode(level: 0, index: index, version: version, slots: .chunks(slots))
            try put(node.name, node.encode(disk: Sample.disk))
            children[Int(index)] = MapChild(version: version, allocatedChunks: node.allocatedChunks)
        }
        let root = MapNode(level: 1, index: 0, version: version, slots: .nodes(children))
        try put(root.name, root.encode(disk: Sample.disk))
        checkpoint = Checkpoint(root: version, levels: shape.levels, epoch: version.epoch)
    }

    func image(of version: ObjectVersion) -> Data {
        var image = Data(count: Int(geometry.diskBytes))
        for (chunk, content) in states[version] ?? [:] {
            let start = Int(chunk) * geometry.chunkBytes
            image.replaceSubrange(start..<start + geometry.chunkBytes, with: content)
        }
        return image
    }
}

@Suite("contrib/rebuild")
struct RebuildTests {
    private static let script = packageFolder.appending(path: "contrib/rebuild/rebuild").path

    private func rebuild(_ arguments: [String]) throws -> CommandResult {
        try run(["python3", Self.script] + arguments)
    }

    @Test("every commit comes back as it was", arguments: [(1, 1), (1, 2), (1, 3), (2, 4)] as [(UInt64, UInt64)])
    func states(term: UInt64, epoch: UInt64) throws {
        try withTemporaryFolder { folder in
            let store = try HandmadeStore(in: folder.appending(path: "store"))
            let image = folder.appending(path: "disk.img")
            let result = try rebuild(["--commit", "\(term)-\(epoch)", store.folder.path, image.path])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Data(contentsOf: image) == store.image(of: HandmadeStore.version(term, epoch)))
        }
    }

    @Test("the newest by default, from a file URL, and sparse; --list shows four")
    func newest() throws {
        try withTemporaryFolder { folder in
            let store = try HandmadeStore(in: folder.appending(path: "store"))
            let image = folder.appending(path: "disk.img")
            let result = try rebuild(["file://" + store.folder.path, image.path])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Data(contentsOf: image) == store.image(of: HandmadeStore.version(2, 4)))
            let allocated = try image.resourceValues(forKeys: [.totalFileAllocatedSizeKey]).totalFileAllocatedSize
            #expect(allocated ?? .max < 16 << 20, "of 37.5 MiB; a filesystem may allocate ahead")
            let list = try rebuild(["--list", store.folder.path])
            let lines = String(decoding: list.output, as: UTF8.self).split(separator: "\n")
            #expect(lines.count == 4)
            #expect(lines.last?.hasPrefix("2-4  2023-11-14T22:13:24Z  5 chunks  2 changed  checkpoint 2") == true)
            let again = try rebuild([store.folder.path, image.path])
            #expect(again.status == 1 && again.errors.contains("exists already"))
        }
    }

    enum Damage: String, CaseIterable {
        case missingObject, flippedFrame, flippedHeader, shortObject, swappedObject, missingNode, flippedNode
        case missingParent, flippedCommit, otherDisk, noDescriptor, foreignFrame
    }

    @Test("anything missing or corrupt ends it", arguments: Damage.allCases)
    func damaged(damage: Damage) throws {
        try withTemporaryFolder { folder in
            let store = try HandmadeStore(in: folder.appending(path: "store"))
            try Self.inflict(damage, on: store)
            let image = folder.appending(path: "disk.img")
            let result = try rebuild([store.folder.path, image.path])
            #expect(result.status == 1)
            #expect(result.errors.hasPrefix("rebuild: ") && result.errors.split(separator: "\n").count == 1)
            #expect(!FileManager.default.fileExists(atPath: image.path))
        }
    }

    private static func inflict(_ damage: Damage, on store: HandmadeStore) throws {
        let object = store.file(.chunk(ChunkIndex(7), version: HandmadeStore.version(2, 4)))
        let other = store.file(.chunk(ChunkIndex(599), version: HandmadeStore.version(1, 1)))
        let root = HandmadeStore.version(1, 2)
        let node = store.file(.mapNode(level: 0, index: 1, version: root))
        let parent = store.file(.commit(HandmadeStore.version(1, 3)))
        let manager = FileManager.default
        func change(_ file: URL, _ edit: (inout Data) -> Void) throws {
            var bytes = try Data(contentsOf: file)
            edit(&bytes)
            try bytes.write(to: file)
        }
        switch damage {
        case .missingObject: try manager.removeItem(at: object)
        case .flippedFrame: try change(object) { $0[300] ^= 4 }
        case .flippedHeader: try change(object) { $0[50] ^= 4 }
        case .shortObject: try change(object) { $0.removeLast() }
        case .swappedObject: try Data(contentsOf: other).write(to: object)
        case .foreignFrame:
            // Stored frames have equal lengths; header and seek table are in order too.
            let sound = try Data(contentsOf: store.file(.chunk(ChunkIndex(7), version: HandmadeStore.version(1, 3))))
            try change(store.file(.chunk(ChunkIndex(598), version: HandmadeStore.version(2, 4)))) { bytes in
                bytes.replaceSubrange(ChunkObject.headerBytes..., with: sound[ChunkObject.headerBytes...])
            }
        case .missingNode: try manager.removeItem(at: node)
        case .flippedNode: try change(node) { $0[80] ^= 4 }
        case .missingParent: try manager.removeItem(at: parent)
        case .flippedCommit: try change(parent) { $0[110] ^= 4 }
        case .otherDisk:
            let descriptor = DiskDescriptor(
                disk: DiskID(high: 1, low: 2),
                geometry: store.geometry,
                claimPrimitive: nil,
                createdAt: 1
            )
            try Data(descriptor.encode()).write(to: store.file(.descriptor))
        case .noDescriptor: try manager.removeItem(at: store.file(.descriptor))
        }
    }
}
