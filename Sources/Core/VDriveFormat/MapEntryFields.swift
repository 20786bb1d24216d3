internal import VDriveModel

/// A map entry as it lies in map nodes and commits: a length, then fields of tag, length and value.
///
///     offset  size  field
///          0     2  bytes of all fields (0: no entry, the chunk is trimmed)
///          2   3+n  fields by ascending tag: u8 tag, u16 length n, n bytes
///
/// A reader passes over an unknown tag below 0x80; an unknown tag from 0x80 on means that the entry cannot be read
/// without knowing it (a delta object, a cipher), and is refused.
enum MapEntryFields {
    enum Tag {
        static let version: UInt8 = 1
        static let objectBytes: UInt8 = 2
        static let frameBytes: UInt8 = 3
        static let hash: UInt8 = 4
        static let frameChecksums: UInt8 = 5
        static let firstMandatory: UInt8 = 0x80
        /// Whoever passed over it would take zeros for data.
        static let lostPages: UInt8 = 0x80
    }

    static func encode(_ entry: MapEntry?, into writer: inout ByteWriter) {
        let start = writer.bytes.count
        writer.integer(UInt16(0))
        guard let entry else { return }
        field(Tag.version, bytes: 16, into: &writer)
        writer.version(entry.version)
        field(Tag.objectBytes, bytes: 4, into: &writer)
        writer.integer(entry.objectBytes)
        field(Tag.frameBytes, bytes: 4 * entry.frameBytes.count, into: &writer)
        for length in entry.frameBytes { writer.integer(length) }
        field(Tag.hash, bytes: 8, into: &writer)
        writer.integer(entry.hash.rawValue)
        field(Tag.frameChecksums, bytes: 4 * entry.frameChecksums.count, into: &writer)
        for checksum in entry.frameChecksums { writer.integer(checksum) }
        if let lost = entry.lostPages {
            field(Tag.lostPages, bytes: lost.pageCount / 8, into: &writer)
            for byte in 0..<lost.pageCount / 8 {
                writer.integer(UInt8(truncatingIfNeeded: lost.words[byte / 8] >> UInt64(byte % 8 * 8)))
            }
        }
        writer.replace(at: start, with: UInt16(writer.bytes.count - start - 2))
    }

    /// - Parameter geometry: that of the disk; an entry must have its number of frames.
    static func decode(_ reader: inout ByteReader, geometry: DiskGeometry) throws(FormatError) -> MapEntry? {
        let part = reader.part
        let length: UInt16 = try reader.integer()
        guard length > 0 else { return nil }
        var fields = try reader.part(Int(length))
        var version: ObjectVersion?
        var objectBytes: UInt32?
        var frameBytes: [UInt32] = []
        var frameChecksums: [UInt32] = []
        var hash: UInt64?
        var lostPages: PageSet?
        var lastTag: UInt8 = 0
        while fields.remaining > 0 {
            let tag: UInt8 = try fields.integer()
            guard tag > lastTag else { throw .malformed(part, "the fields of an entry are out of order") }
            lastTag = tag
            let bytes: UInt16 = try fields.integer()
            var value = try fields.part(Int(bytes))
            switch tag {
            case Tag.version: version = try value.version()
            case Tag.objectBytes: objectBytes = try value.integer()
            case Tag.frameBytes: frameBytes = try numbers(&value, geometry.framesPerChunk)
            case Tag.frameChecksums: frameChecksums = try numbers(&value, geometry.framesPerChunk)
            case Tag.hash: hash = try value.integer()
            case Tag.lostPages: lostPages = try pages(&value, geometry.pagesPerChunk)
            case Tag.firstMandatory...:
                throw .malformed(part, "an entry has field \(tag), which this vdrive does not know; use a newer one")
            default: continue
            }
            try value.finish()
        }
        guard let version, let objectBytes, !frameBytes.isEmpty, !frameChecksums.isEmpty, let hash else {
            throw .malformed(part, "an entry lacks a field")
        }
        let entry = MapEntry(
            version: version,
            objectBytes: objectBytes,
            frameBytes: frameBytes,
            frameChecksums: frameChecksums,
            hash: ContentHash(hash),
            lostPages: lostPages
        )
        try check(entry, part: part, geometry: geometry)
        return entry
    }

    /// One number a frame.
    private static func numbers(_ value: inout ByteReader, _ frames: Int) throws(FormatError) -> [UInt32] {
        guard value.remaining == 4 * frames else {
            throw .malformed(value.part, "an entry does not have \(frames) frames")
        }
        var numbers: [UInt32] = []
        numbers.reserveCapacity(frames)
        for _ in 0..<frames { numbers.append(try value.integer()) }
        return numbers
    }

    /// One bit a page, and at least one of them set.
    private static func pages(_ value: inout ByteReader, _ count: Int) throws(FormatError) -> PageSet {
        guard value.remaining == count / 8 else {
            throw .malformed(value.part, "an entry does not have \(count) pages")
        }
        var set = PageSet(pageCount: count)
        for byte in 0..<count / 8 {
            set.words[byte / 8] |= UInt64(try value.integer(UInt8.self)) << UInt64(byte % 8 * 8)
        }
        guard !set.isEmpty else { throw .malformed(value.part, "an entry has a list of lost pages without one") }
        return set
    }

    /// Readers compute ranges from these lengths, so they must add up.
    private static func check(_ entry: MapEntry, part: FormatPart, geometry: DiskGeometry) throws(FormatError) {
        let frames = entry.frameBytes.reduce(0) { $0 + Int($1) }
        let length = ChunkObject.headerBytes + frames + SeekTable.length(frames: entry.frameBytes.count)
        guard entry.frameBytes.allSatisfy({ $0 > 0 }), length == Int(entry.objectBytes),
            length <= ChunkObject.objectBytesMax(geometry)
        else { throw .malformed(part, "the lengths of an entry do not add up") }
    }

    private static func field(_ tag: UInt8, bytes: Int, into writer: inout ByteWriter) {
        writer.integer(tag)
        writer.integer(UInt16(bytes))
    }
}
