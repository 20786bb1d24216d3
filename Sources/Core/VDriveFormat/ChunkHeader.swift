internal import Codec
package import VDriveModel

/// The head of a chunk object: a skippable zstd frame that plain `zstd -d` passes over (Protocol/FORMAT.md).
package struct ChunkHeader: Hashable, Sendable {
    package var disk: DiskID
    package var chunk: ChunkIndex
    package var version: ObjectVersion
    /// The chunk's size, in bytes.
    package var chunkBytes: Int
    /// The raw size of each frame, in bytes.
    package var frameBytes: Int

    package init(disk: DiskID, chunk: ChunkIndex, version: ObjectVersion, geometry: DiskGeometry) {
        self.disk = disk
        self.chunk = chunk
        self.version = version
        self.chunkBytes = geometry.chunkBytes
        self.frameBytes = geometry.frameBytes
    }

    static let skippableMagic: UInt32 = 0x184D_2A50
    /// "vdrvblk" and a zero byte, as they lie in the file.
    static let magic = UInt64(littleEndianBytes: "vdrvblk\0")
    package static let formatVersion: UInt16 = 1

    /// Offsets in bytes, little-endian fields. Protocol/FORMAT.md holds the same table.
    enum Offset {
        static let skippableMagic = 0
        static let skippableBytes = 4
        static let magic = 8
        static let formatVersion = 16
        static let cipher = 18
        static let chunkBytes = 20
        static let frameBytes = 24
        static let disk = 32
        static let chunk = 48
        static let term = 56
        static let epoch = 64
        static let reserved = 72
        static let checksum = 92
        static let end = 96
    }

    func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.bytes.reserveCapacity(Offset.end)
        writer.integer(Self.skippableMagic)
        writer.integer(UInt32(Offset.end - Offset.magic))
        writer.integer(Self.magic)
        writer.integer(Self.formatVersion)
        writer.zeros(Offset.chunkBytes - Offset.cipher)
        writer.integer(UInt32(chunkBytes))
        writer.integer(UInt32(frameBytes))
        writer.zeros(Offset.disk - Offset.frameBytes - 4)
        writer.disk(disk)
        writer.integer(chunk.rawValue)
        writer.version(version)
        writer.zeros(Offset.checksum - Offset.reserved)
        writer.integer(XXH64.checksum32(writer.bytes))
        return writer.bytes
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let part = FormatPart.chunkObject
        guard bytes.count >= Offset.end else { throw .truncated(part) }
        var reader = ByteReader([UInt8](bytes.prefix(Offset.end)), part: part)
        guard try reader.integer(UInt32.self) == Self.skippableMagic,
            try reader.integer(UInt32.self) == UInt32(Offset.end - Offset.magic),
            try reader.integer(UInt64.self) == Self.magic
        else { throw .notThisKind(part) }
        let formatVersion: UInt16 = try reader.integer()
        guard formatVersion == Self.formatVersion else { throw .futureVersion(part, UInt64(formatVersion)) }
        let sum = XXH64.checksum32(UnsafeRawBufferPointer(rebasing: bytes[..<Offset.checksum]))
        let cipher: UInt8 = try reader.integer()
        try reader.zeros(Offset.chunkBytes - Offset.cipher - 1)
        chunkBytes = Int(try reader.integer(UInt32.self))
        frameBytes = Int(try reader.integer(UInt32.self))
        try reader.zeros(Offset.disk - Offset.frameBytes - 4)
        disk = try reader.disk()
        chunk = ChunkIndex(try reader.integer())
        version = try reader.version()
        try reader.zeros(Offset.checksum - Offset.reserved)
        guard try reader.integer(UInt32.self) == sum else { throw .checksum(part) }
        guard cipher == 0 else { throw .malformed(part, "cipher \(cipher) is unknown") }
    }

    /// - Throws: `wrongDisk` or `wrongObject` when this is not the header expected.
    func verify(is expected: ChunkHeader) throws(FormatError) {
        let part = FormatPart.chunkObject
        guard disk == expected.disk else { throw .wrongDisk(part, found: disk) }
        let fields: [(String, UInt64, UInt64)] = [
            ("chunk", chunk.rawValue, expected.chunk.rawValue),
            ("term", version.term.rawValue, expected.version.term.rawValue),
            ("epoch", version.epoch.rawValue, expected.version.epoch.rawValue),
            ("chunk size", UInt64(chunkBytes), UInt64(expected.chunkBytes)),
            ("frame size", UInt64(frameBytes), UInt64(expected.frameBytes)),
        ]
        for (field, found, expected) in fields where found != expected {
            throw .wrongObject(part, field: field, found: found, expected: expected)
        }
    }
}

extension UInt64 {
    /// The number whose little-endian bytes are the eight ASCII characters of a magic.
    init(littleEndianBytes text: StaticString) {
        precondition(text.utf8CodeUnitCount == 8)
        self = UInt64(littleEndian: UnsafeRawPointer(text.utf8Start).loadUnaligned(as: UInt64.self))
    }
}
