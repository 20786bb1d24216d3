import Testing
import VDriveModel

@testable import VDriveFormat

@Suite("map nodes and commits")
struct MapAndCommitTests {
    static func leaf(_ geometry: DiskGeometry, filled: Int, seed: UInt64) -> MapNode {
        var random = Seeded(seed)
        var entries: [MapEntry?] = Array(repeating: nil, count: 512)
        for slot in (0..<512).shuffled(using: &random).prefix(filled) {
            entries[slot] = Sample.entry(geometry, seed: random.next())
        }
        return MapNode(level: 0, index: 2, version: Sample.version, slots: .chunks(entries))
    }

    static func upper(filled: Int, seed: UInt64) -> MapNode {
        var random = Seeded(seed)
        var children: [MapChild?] = Array(repeating: nil, count: 512)
        for slot in (0..<512).shuffled(using: &random).prefix(filled) {
            let version = ObjectVersion(term: Term(random.next()), epoch: Epoch(random.next()))
            children[slot] = MapChild(version: version, allocatedChunks: random.next() % 512)
        }
        return MapNode(level: 1, index: 0, version: Sample.version, slots: .nodes(children))
    }

    static func commit(_ geometry: DiskGeometry, entries: Int, seed: UInt64, first: Bool = false) -> CommitRecord {
        var random = Seeded(seed)
        let chunks = (0..<geometry.chunkCount).shuffled(using: &random).prefix(entries).sorted()
        return CommitRecord(
            version: Sample.version,
            parent: first ? nil : ObjectVersion(term: Term(2), epoch: Epoch(76)),
            diskBytes: geometry.diskBytes,
            allocatedChunks: min(1000, geometry.chunkCount),
            checkpoint: first
                ? nil
                : Checkpoint(root: ObjectVersion(term: Term(2), epoch: Epoch(64)), levels: 1, epoch: Epoch(64)),
            createdAt: 1_700_000_000,
            entries: chunks.map { chunk in
                let entry = random.next() % 4 == 0 ? nil : Sample.entry(geometry, seed: random.next())
                return CommitEntry(chunk: ChunkIndex(chunk), entry: entry)
            }
        )
    }

    static func decode(_ bytes: [UInt8], as node: MapNode, geometry: DiskGeometry) throws(FormatError) -> MapNode {
        try MapNode.decode(
            bytes,
            disk: Sample.disk,
            level: node.level,
            index: node.index,
            version: node.version,
            geometry: geometry
        )
    }

    @Test("nodes round trip", arguments: [0, 1, 2, 100, 512], [65_536, 4 << 20, 16 << 20])
    func nodes(filled: Int, chunkBytes: Int) throws {
        let geometry = try Sample.geometry(chunkBytes)
        for node in [Self.leaf(geometry, filled: filled, seed: 1), Self.upper(filled: filled, seed: 2)] {
            let bytes = node.encode(disk: Sample.disk)
            #expect(try Self.decode(bytes, as: node, geometry: geometry) == node)
        }
        #expect(Self.leaf(geometry, filled: filled, seed: 1).allocatedChunks == UInt64(filled))
    }

    @Test("commits round trip", arguments: [0, 1, 2, 300, 2000])
    func commits(entries: Int) throws {
        for chunkBytes in [65_536, 4 << 20] {
            let geometry = try Sample.geometry(chunkBytes)
            for first in [true, false] {
                let record = Self.commit(geometry, entries: entries, seed: 3, first: first)
                let bytes = record.encode(disk: Sample.disk)
                let read = try CommitRecord.decode(
                    bytes,
                    disk: Sample.disk,
                    version: record.version,
                    chunkBytes: chunkBytes
                )
                #expect(read == record)
            }
        }
    }

    @Test("every truncation and every flipped byte of a node is refused")
    func damagedNodes() throws {
        let geometry = try Sample.geometry(65_536)
        for node in [Self.leaf(geometry, filled: 3, seed: 4), Self.upper(filled: 3, seed: 5)] {
            let bytes = node.encode(disk: Sample.disk)
            for damaged in Self.damages(bytes) {
                #expect(throws: FormatError.self) { try Self.decode(damaged, as: node, geometry: geometry) }
            }
        }
    }

    @Test("every truncation and every flipped byte of a commit is refused")
    func damagedCommits() throws {
        let geometry = try Sample.geometry(65_536)
        let record = Self.commit(geometry, entries: 3, seed: 6)
        for damaged in Self.damages(record.encode(disk: Sample.disk)) {
            #expect(throws: FormatError.self) {
                try CommitRecord.decode(damaged, disk: Sample.disk, version: record.version, chunkBytes: 65_536)
            }
        }
    }

    static func damages(_ bytes: [UInt8]) -> [[UInt8]] {
        let cuts = bytes.indices.map { Array(bytes[..<$0]) }
        let flips = bytes.indices.flatMap { position in
            ([0x01, 0x20, 0x80, 0xFF] as [UInt8]).map { mask in
                var damaged = bytes
                damaged[position] ^= mask
                return damaged
            }
        }
        return cuts + flips + [bytes + [0]]
    }

    /// A body that is sealed well and means nothing: the decoder's own bounds must hold.
    @Test("nonsense under a good checksum is refused", arguments: 0..<200)
    func nonsense(seed: UInt64) throws {
        let geometry = try Sample.geometry(65_536)
        var random = Seeded(seed)
        let node = Self.leaf(geometry, filled: 2, seed: seed)
        var body = ByteWriter()
        if case .chunks(let entries) = node.slots {
            for (slot, entry) in entries.enumerated() where entry != nil {
                body.integer(UInt16(slot))
                MapEntryFields.encode(entry, into: &body)
            }
        }
        let position = Int(random.next() % UInt64(body.bytes.count))
        body.bytes[position] ^= UInt8(truncatingIfNeeded: random.next() | 1)
        if seed % 4 == 0 { body.bytes.removeLast(Int(random.next() % 20) + 1) }
        var head = ByteWriter(bytes: Array(node.encode(disk: Sample.disk)[..<MapNode.Offset.rawBytes]))
        let bytes = SealedBody.seal(body.bytes, onto: &head)
        // Values may change under a valid checksum; a crash or an entry that does not add up may not come out.
        if let read = try? Self.decode(bytes, as: node, geometry: geometry), case .chunks(let entries) = read.slots {
            for entry in entries.compactMap({ $0 }) {
                let end = ChunkObject.frameRange(0..<1, entry: entry).upperBound
                #expect(end + SeekTable.length(frames: 1) == Int(entry.objectBytes))
            }
        }
    }

    @Test("lost pages are part of an entry, one bit each", arguments: [65_536, 4 << 20, 16 << 20])
    func lostPages(chunkBytes: Int) throws {
        let geometry = try Sample.geometry(chunkBytes)
        var entry = Sample.entry(geometry, seed: 8)
        var lost = PageSet(pageCount: geometry.pagesPerChunk)
        lost.insert(3..<5)
        lost.insert(geometry.pagesPerChunk - 1..<geometry.pagesPerChunk)
        for lost in [lost, PageSet(full: geometry.pagesPerChunk)] {
            entry.lostPages = lost
            var writer = ByteWriter()
            MapEntryFields.encode(entry, into: &writer)
            var reader = ByteReader(writer.bytes, part: .commit)
            #expect(try MapEntryFields.decode(&reader, geometry: geometry) == entry)
            #expect(writer.bytes.count <= 1592)
        }
    }

    @Test("unknown optional fields are passed over, mandatory ones refused")
    func extensions() throws {
        let geometry = try Sample.geometry(65_536)
        let entry = Sample.entry(geometry, seed: 8)
        func decode(tag: UInt8) throws(FormatError) -> MapEntry? {
            var writer = ByteWriter()
            MapEntryFields.encode(entry, into: &writer)
            writer.integer(tag)
            writer.integer(UInt16(3))
            writer.zeros(3)
            writer.replace(at: 0, with: UInt16(writer.bytes.count - 2))
            var reader = ByteReader(writer.bytes, part: .commit)
            return try MapEntryFields.decode(&reader, geometry: geometry)
        }
        #expect(try decode(tag: 6) == entry)
        #expect(try decode(tag: 0x7F) == entry)
        #expect(throws: FormatError.self) { try decode(tag: 0x81) }
        #expect(throws: FormatError.self) { try decode(tag: 5) }
    }

    @Test(
        "the shape of the map",
        arguments: [
            (1, 1), (512, 1), (513, 2), (262_144, 2), (262_145, 3), (1 << 27, 3), (1 << 44, 5),
        ] as [(UInt64, Int)]
    )
    func shape(chunks: UInt64, levels: Int) {
        let shape = MapShape(chunkCount: chunks)
        #expect(shape.levels == levels)
        #expect(shape.nodeCount(level: shape.rootLevel) == 1)
        #expect(shape.chunks(ofNode: 0, level: shape.rootLevel) == 0..<chunks)
        for chunk in Set([0, chunks / 2, chunks - 1]) {
            var rebuilt: UInt64 = 0
            for level in (0..<levels).reversed() {
                let index = shape.nodeIndex(of: ChunkIndex(chunk), level: level)
                #expect(index == rebuilt)
                #expect(shape.chunks(ofNode: index, level: level).contains(chunk))
                if level < shape.rootLevel {
                    let parent = shape.parent(ofNode: index)
                    #expect(parent.index == shape.nodeIndex(of: ChunkIndex(chunk), level: level + 1))
                    #expect(parent.slot == shape.slot(of: ChunkIndex(chunk), level: level + 1))
                }
                rebuilt = rebuilt << 9 | UInt64(shape.slot(of: ChunkIndex(chunk), level: level))
            }
            #expect(rebuilt == chunk)
        }
    }
}
