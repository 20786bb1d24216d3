package import VDriveModel

/// Appends little-endian fields.
package struct ByteWriter {
    package var bytes: [UInt8]

    package init(bytes: [UInt8] = []) { self.bytes = bytes }

    package mutating func integer(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// The 16 bytes of a UUID in the order in which they are read aloud (RFC 9562).
    package mutating func disk(_ disk: DiskID) {
        withUnsafeBytes(of: disk.high.bigEndian) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: disk.low.bigEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func version(_ version: ObjectVersion?) {
        integer(version?.term.rawValue ?? 0)
        integer(version?.epoch.rawValue ?? 0)
    }

    package mutating func zeros(_ count: Int) { bytes.append(contentsOf: repeatElement(0, count: count)) }

    /// Overwrites a field written before.
    package mutating func replace(at offset: Int, with value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { field in
            for (position, byte) in field.enumerated() { bytes[offset + position] = byte }
        }
    }
}

/// Takes little-endian fields from an array; every step checks its bounds.
package struct ByteReader {
    package let part: FormatPart
    package let bytes: [UInt8]
    package private(set) var at: Int
    /// Where the bytes that may be read end.
    package let end: Int

    package init(_ bytes: [UInt8], part: FormatPart) {
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

    package var remaining: Int { end - at }

    /// Takes `count` bytes off, for a reader of their own.
    package mutating func part(_ count: Int) throws(FormatError) -> ByteReader {
        ByteReader(part: part, bytes: bytes, range: try take(count))
    }

    package mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self
    ) throws(FormatError) -> Value {
        let range = try take(MemoryLayout<Value>.size)
        return bytes.withUnsafeBytes { raw in
            Value(littleEndian: raw.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
        }
    }

    package mutating func disk() throws(FormatError) -> DiskID {
        let high: UInt64 = try integer()
        let low: UInt64 = try integer()
        return DiskID(high: high.byteSwapped, low: low.byteSwapped)
    }

    package mutating func version() throws(FormatError) -> ObjectVersion {
        ObjectVersion(term: Term(try integer()), epoch: Epoch(try integer()))
    }

    /// Skips reserved bytes, which must be zero.
    package mutating func zeros(_ count: Int) throws(FormatError) {
        let range = try take(count)
        guard bytes[range].allSatisfy({ $0 == 0 }) else { throw .malformed(part, "reserved bytes are not zero") }
    }

    package mutating func take(_ count: Int) throws(FormatError) -> Range<Int> {
        guard count >= 0, count <= remaining else { throw .truncated(part) }
        defer { at += count }
        return at..<at + count
    }

    /// - Throws: `malformed` when bytes are left over.
    package func finish() throws(FormatError) {
        guard remaining == 0 else { throw .malformed(part, "\(remaining) bytes too many") }
    }
}
