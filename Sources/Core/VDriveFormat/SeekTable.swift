internal import VDriveModel

/// The tail of a chunk object: the seek table of the zstd seekable format 0.1.0, with checksums.
///
/// The header's skippable frame is entry 0, of no content, so that sums over the entries give file offsets, as every
/// reader of the format expects.
struct SeekTable: Hashable {
    struct Entry: Hashable {
        var compressedBytes: UInt32
        var contentBytes: UInt32
        /// Low 32 bits of XXH64 of the content: the same as the frame's own.
        var checksum: UInt32
    }

    var entries: [Entry]

    static let skippableMagic: UInt32 = 0x184D_2A5E
    static let seekableMagic: UInt32 = 0x8F92_EAB1
    static let headBytes = 8
    static let entryBytes = 12
    static let footerBytes = 9
    static let checksumFlag: UInt8 = 1 << 7

    /// The table's length in an object of `frames` frames, in bytes.
    static func length(frames: Int) -> Int { headBytes + entryBytes * (frames + 1) + footerBytes }

    func encode(into writer: inout ByteWriter) {
        writer.integer(Self.skippableMagic)
        writer.integer(UInt32(entries.count * Self.entryBytes + Self.footerBytes))
        for entry in entries {
            writer.integer(entry.compressedBytes)
            writer.integer(entry.contentBytes)
            writer.integer(entry.checksum)
        }
        writer.integer(UInt32(entries.count))
        writer.integer(Self.checksumFlag)
        writer.integer(Self.seekableMagic)
    }

    /// Reads a table of exactly `frames` frames and the header's entry.
    init(decoding bytes: [UInt8], frames: Int) throws(FormatError) {
        let part = FormatPart.chunkObject
        guard bytes.count == Self.length(frames: frames) else { throw .truncated(part) }
        var reader = ByteReader(bytes, part: part)
        guard try reader.integer(UInt32.self) == Self.skippableMagic,
            try reader.integer(UInt32.self) == UInt32(bytes.count - Self.headBytes)
        else { throw .malformed(part, "there is no seek table where it must be") }
        entries = []
        entries.reserveCapacity(frames + 1)
        for _ in 0...frames {
            entries.append(
                Entry(
                    compressedBytes: try reader.integer(),
                    contentBytes: try reader.integer(),
                    checksum: try reader.integer()
                )
            )
        }
        guard try reader.integer(UInt32.self) == UInt32(frames + 1),
            try reader.integer(UInt8.self) == Self.checksumFlag,
            try reader.integer(UInt32.self) == Self.seekableMagic
        else { throw .malformed(part, "the seek table has a wrong footer") }
    }

    init(entries: [Entry]) { self.entries = entries }
}
