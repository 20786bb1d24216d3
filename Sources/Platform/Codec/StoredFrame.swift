internal import CZstd

/// Zstd frames made by hand (RFC 8878, 3.1.1), for bytes that compression cannot help and for zeros.
///
///     offset  size  field
///          0     4  magic: 28 B5 2F FD
///          4     1  descriptor: single segment, content checksum, width of the content size
///          5   1-4  content size: 1, 2 (minus 256) or 4 bytes
///          .  3+n.  blocks: last-flag, type and size in 24 bits, then the bytes
///          .     4  low 32 bits of XXH64 of the content
package enum StoredFrame {
    /// The most that a block may hold.
    static let blockBytesMax = 128 * 1024
    /// Magic, descriptor, content size, one block header, checksum: what storing adds to one block's worth of bytes.
    package static let overheadBytesMax = 4 + 1 + 4 + 3 + 4

    /// Appends a frame that holds `content` uncompressed: one copy and one XXH64, no search for matches.
    ///
    /// - Precondition: `content.count` is below 4 GiB.
    package static func append(_ content: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
        appendHead(contentBytes: content.count, to: &bytes)
        var at = 0
        repeat {
            let count = min(blockBytesMax, content.count - at)
            appendBlock(type: 0, count: count, last: at + count == content.count, to: &bytes)
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: content[at..<at + count]))
            at += count
        } while at < content.count
        appendLittleEndian(XXH64.checksum32(content), to: &bytes)
    }

    /// A frame of `count` zeros, in 19 to 21 bytes.
    ///
    /// - Parameter count: 64 KiB to 128 KiB.
    package static func zeros(_ count: Int) -> [UInt8] {
        precondition((64 * 1024...blockBytesMax).contains(count))
        var bytes: [UInt8] = []
        appendHead(contentBytes: count, to: &bytes)
        // zstd up to 1.4.3 stumbles over a first block of type RLE, so one zero goes ahead as a raw block.
        appendBlock(type: 0, count: 1, last: false, to: &bytes)
        bytes.append(0)
        appendBlock(type: 1, count: count - 1, last: true, to: &bytes)
        bytes.append(0)
        appendLittleEndian(XXH64.checksum32([UInt8](repeating: 0, count: count)), to: &bytes)
        return bytes
    }

    private static func appendHead(contentBytes: Int, to bytes: inout [UInt8]) {
        precondition(contentBytes >= 0 && contentBytes <= UInt32.max)
        appendLittleEndian(UInt32(ZSTD_MAGICNUMBER), to: &bytes)
        let singleSegmentWithChecksum: UInt8 = 0b0010_0100
        switch contentBytes {
        case 0..<256:
            bytes.append(singleSegmentWithChecksum)
            bytes.append(UInt8(contentBytes))
        case 256..<65536 + 256:
            bytes.append(singleSegmentWithChecksum | 1 << 6)
            appendLittleEndian(UInt16(contentBytes - 256), to: &bytes)
        default:
            bytes.append(singleSegmentWithChecksum | 2 << 6)
            appendLittleEndian(UInt32(contentBytes), to: &bytes)
        }
    }

    private static func appendBlock(type: UInt32, count: Int, last: Bool, to bytes: inout [UInt8]) {
        let header = UInt32(count) << 3 | type << 1 | (last ? 1 : 0)
        for shift in [0, 8, 16] { bytes.append(UInt8(truncatingIfNeeded: header >> UInt32(shift))) }
    }

    private static func appendLittleEndian(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
