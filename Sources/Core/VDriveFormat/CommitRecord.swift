internal import Codec
package import VDriveModel

/// A change of one chunk: its new map entry, or nil when it was trimmed.
package struct CommitEntry: Hashable, Sendable {
    package var chunk: ChunkIndex
    package var entry: MapEntry?

    package init(chunk: ChunkIndex, entry: MapEntry?) {
        self.chunk = chunk
        self.entry = entry
    }
}

/// Where the map was last written out whole.
package struct Checkpoint: Hashable, Sendable {
    /// The version of the root node, whose level is `levels - 1` and whose index is 0.
    package var root: ObjectVersion
    package var levels: Int
    /// The tree holds the state of this epoch; the entries of later commits come on top.
    package var epoch: Epoch

    package init(root: ObjectVersion, levels: Int, epoch: Epoch) {
        self.root = root
        self.levels = levels
        self.epoch = epoch
    }

    package var rootName: ObjectName { .mapNode(level: levels - 1, index: 0, version: root) }
}

/// The object that makes an epoch's state the disk's state.
package struct CommitRecord: Hashable, Sendable {
    package var version: ObjectVersion
    /// The commit before this one; nil for a disk's first.
    package var parent: ObjectVersion?
    package var diskBytes: UInt64
    package var allocatedChunks: UInt64
    /// Nil until the map is first written out; then the commits from the first one on are the state.
    package var checkpoint: Checkpoint?
    /// Seconds since 1970, by the writer's clock.
    package var createdAt: UInt64
    /// What this epoch changed, strictly ascending by chunk.
    package var entries: [CommitEntry]

    package init(
        version: ObjectVersion,
        parent: ObjectVersion?,
        diskBytes: UInt64,
        allocatedChunks: UInt64,
        checkpoint: Checkpoint?,
        createdAt: UInt64,
        entries: [CommitEntry]
    ) {
        self.version = version
        self.parent = parent
        self.diskBytes = diskBytes
        self.allocatedChunks = allocatedChunks
        self.checkpoint = checkpoint
        self.createdAt = createdAt
        self.entries = entries
    }

    package var name: ObjectName { .commit(version) }

    static let magic = UInt64(littleEndianBytes: "vdrvcmt\0")
    package static let formatVersion: UInt16 = 1
    /// The most changes that one commit may carry; an epoch is sealed before it has more chunks.
    package static let entriesMax = 1 << 20
    /// The body's length is a field of 32 bits; entries of today take at most 1592 bytes.
    static let bodyBytesMax = 3 << 29
    static let hasParent: UInt8 = 1 << 0
    static let hasCheckpoint: UInt8 = 1 << 1

    /// Offsets in bytes, little-endian fields. Protocol/FORMAT.md holds the same table.
    enum Offset {
        static let magic = 0
        static let formatVersion = 8
        static let flags = 10
        static let checkpointLevels = 11
        static let entryCount = 12
        static let disk = 16
        static let term = 32
        static let epoch = 40
        static let parentTerm = 48
        static let parentEpoch = 56
        static let diskBytes = 64
        static let allocatedChunks = 72
        static let rootTerm = 80
        static let rootEpoch = 88
        static let checkpointEpoch = 96
        static let createdAt = 104
        static let reserved = 112
        static let rawBytes = 120
        static let compressedBytes = 124
        static let body = 128
    }

    /// - Precondition: at most `entriesMax` entries, strictly ascending by chunk.
    package func encode(disk: DiskID) -> [UInt8] {
        precondition(entries.count <= Self.entriesMax, "\(entries.count) entries in one commit")
        var body = ByteWriter()
        var chunkMin: UInt64 = 0
        for change in entries {
            precondition(change.chunk.rawValue >= chunkMin, "\(change.chunk) is out of order")
            chunkMin = change.chunk.rawValue + 1
            body.integer(change.chunk.rawValue)
            MapEntryFields.encode(change.entry, into: &body)
        }
        var writer = ByteWriter()
        writer.integer(Self.magic)
        writer.integer(Self.formatVersion)
        writer.integer((parent == nil ? 0 : Self.hasParent) | (checkpoint == nil ? 0 : Self.hasCheckpoint))
        writer.integer(UInt8(checkpoint?.levels ?? 0))
        writer.integer(UInt32(entries.count))
        writer.disk(disk)
        writer.version(version)
        writer.version(parent)
        writer.integer(diskBytes)
        writer.integer(allocatedChunks)
        writer.version(checkpoint?.root)
        writer.integer(checkpoint?.epoch.rawValue ?? 0)
        writer.integer(createdAt)
        writer.zeros(Offset.rawBytes - Offset.reserved)
        return SealedBody.seal(body.bytes, onto: &writer)
    }

    /// Reads a commit, and checks that it is the one asked for.
    ///
    /// - Parameter chunkBytes: the disk's chunk size; the disk's size stands in the commit.
    package static func decode(
        _ bytes: [UInt8],
        disk: DiskID,
        version: ObjectVersion,
        chunkBytes: Int
    ) throws(FormatError) -> CommitRecord {
        let part = FormatPart.commit
        var reader = try SealedBody.open(
            bytes,
            part: part,
            magic: magic,
            formatVersion: formatVersion,
            headBytes: Offset.body
        )
        var (record, count) = try decodeHead(&reader, disk: disk)
        let fields: [(String, UInt64, UInt64)] = [
            ("term", record.version.term.rawValue, version.term.rawValue),
            ("epoch", record.version.epoch.rawValue, version.epoch.rawValue),
        ]
        for (field, found, expected) in fields where found != expected {
            throw .wrongObject(part, field: field, found: found, expected: expected)
        }
        let geometry: DiskGeometry
        do throws(GeometryError) {
            geometry = try DiskGeometry(diskBytes: record.diskBytes, chunkBytes: chunkBytes)
        } catch {
            throw .malformed(part, "its disk of \(record.diskBytes) bytes has no chunks of \(chunkBytes)")
        }
        if let checkpoint = record.checkpoint {
            guard (1...MapShape(geometry).levels).contains(checkpoint.levels), checkpoint.epoch <= version.epoch
            else { throw .malformed(part, "its checkpoint cannot be") }
        }
        guard record.allocatedChunks <= geometry.chunkCount else {
            throw .malformed(part, "it counts more chunks than the disk has")
        }
        var body = try SealedBody.body(&reader, bytesMax: bodyBytesMax)
        try record.fill(from: &body, count: count, geometry: geometry)
        return record
    }

    private static func decodeHead(
        _ reader: inout ByteReader,
        disk: DiskID
    ) throws(FormatError) -> (record: CommitRecord, entries: Int) {
        let part = reader.part
        let flags: UInt8 = try reader.integer()
        guard flags & ~(hasParent | hasCheckpoint) == 0 else { throw .malformed(part, "flags \(flags) are unknown") }
        let levels: UInt8 = try reader.integer()
        let count: UInt32 = try reader.integer()
        guard count <= UInt32(entriesMax) else { throw .malformed(part, "it has \(count) entries") }
        let foundDisk = try reader.disk()
        guard foundDisk == disk else { throw .wrongDisk(part, found: foundDisk) }
        let version = try reader.version()
        let parent = try reader.version()
        let diskBytes: UInt64 = try reader.integer()
        let allocatedChunks: UInt64 = try reader.integer()
        let root = try reader.version()
        let checkpointEpoch = Epoch(try reader.integer())
        let createdAt: UInt64 = try reader.integer()
        try reader.zeros(Offset.rawBytes - Offset.reserved)
        let checkpoint = Checkpoint(root: root, levels: Int(levels), epoch: checkpointEpoch)
        let record = CommitRecord(
            version: version,
            parent: flags & hasParent == 0 ? nil : parent,
            diskBytes: diskBytes,
            allocatedChunks: allocatedChunks,
            checkpoint: flags & hasCheckpoint == 0 ? nil : checkpoint,
            createdAt: createdAt,
            entries: []
        )
        return (record, Int(count))
    }

    private mutating func fill(
        from body: inout ByteReader,
        count: Int,
        geometry: DiskGeometry
    ) throws(FormatError) {
        entries.reserveCapacity(min(count, body.remaining / 10))
        var chunkMin: UInt64 = 0
        for _ in 0..<count {
            let chunk: UInt64 = try body.integer()
            guard chunk >= chunkMin, chunk < geometry.chunkCount else {
                throw .malformed(body.part, "chunk \(chunk) is out of order or out of range")
            }
            chunkMin = chunk + 1
            let entry = try MapEntryFields.decode(&body, geometry: geometry)
            entries.append(CommitEntry(chunk: ChunkIndex(chunk), entry: entry))
        }
        try body.finish()
    }
}
