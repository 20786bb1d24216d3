internal import VDriveModel

/// Appends little-endian fields.
struct ByteWriter {
    var bytes: [UInt8] = []

    mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The 16 bytes of a UUID in the order in which they are read aloud (RFC 9562).
    mutating func disk(_ disk: DiskID) {
        withUnsafeBytes(of: disk.high.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: disk.low.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func version(_ version: ObjectVersion?) {
        integer(version?.term.rawValue ?? 0)
        integer(version?.epoch.rawValue ?? 0)
    }

    mutating func zeros(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }

    /// Overwrites a field written before.
    mutating func replace(at offset: Int, with value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { field in
            for (position, byte) in field.enumerated() { bytes[offset + position] = byte }
        }
    }
}

/// Takes little-endian fields from an array; every step checks its bounds.
struct ByteReader {
    let part: FormatPart
    let bytes: [UInt8]
    private(set) var at: Int
    /// Where the bytes that may be read end.
    let end: Int

    init(_ bytes: [UInt8], part: FormatPart) {
        self.part = part
        self.bytes = bytes
        self.at = 0
        self.end = bytes.count
    }

    private init(part: FormatPart, bytes: [UInt8], range: Range<Int>) {
        self.part = part
        self.bytes = bytes
        self.at = range.lowerBound
        self.end = range.upperBound
    }

    var remaining: Int { end - at }

    /// Takes `count` bytes off, for a reader of their own.
    mutating func part(_ count: Int) throws(FormatError) -> ByteReader {
        ByteReader(part: part, bytes: bytes, range: try take(count))
    }

    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self
    ) throws(FormatError) -> Value {
        let range = try take(MemoryLayout<Value>.size)
        return bytes.withUnsafeBytes { raw in
            Value(littleEndian: raw.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
        }
    }

    mutating func disk() throws(FormatError) -> DiskID {
        let high: UInt64 = try integer()
        let low: UInt64 = try integer()
        return DiskID(high: high.byteSwapped, low: low.byteSwapped)
    }

    mutating func version() throws(FormatError) -> ObjectVersion {
        ObjectVersion(term: Term(try integer()), epoch: Epoch(try integer()))
    }

    /// Skips reserved bytes, which must be zero.
    mutating func zeros(_ count: Int) throws(FormatError) {
        let range = try take(count)
        guard bytes[range].allSatisfy({ $0 == 0 }) else { throw .malformed(part, "reserved bytes are not zero") }
    }

    mutating func take(_ count: Int) throws(FormatError) -> Range<Int> {
        guard count >= 0, count <= remaining else { throw .truncated(part) }
        defer { at += count }
        return at..<at + count
    }

    /// - Throws: `malformed` when bytes are left over.
    func finish() throws(FormatError) {
        guard remaining == 0 else { throw .malformed(part, "\(remaining) bytes too many") }
    }
}
