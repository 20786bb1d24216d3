internal import Codec

/// What map nodes and commits have in common: a head of fixed size, whose last eight bytes are the raw and the
/// compressed length of the body; the body, one zstd frame; XXH3 over all that.
enum SealedBody {
    static let checksumBytes = 8
    static let compressionLevel = 3

    /// Appends lengths, body and checksum to a head.
    static func seal(_ body: [UInt8], onto writer: inout ByteWriter) -> [UInt8] {
        let compressed = Compressor.withThreadContext { $0.compress(body, level: compressionLevel) }
        writer.integer(UInt32(body.count))
        writer.integer(UInt32(compressed.count))
        writer.bytes.append(contentsOf: compressed)
        writer.integer(XXH3.hash64(writer.bytes))
        return writer.bytes
    }

    /// Checks magic, format version and checksum, and gives a reader that stands behind the format version.
    static func open(
        _ bytes: [UInt8],
        part: FormatPart,
        magic: UInt64,
        formatVersion: UInt16,
        headBytes: Int
    ) throws(FormatError) -> ByteReader {
        guard bytes.count >= headBytes + checksumBytes else { throw .truncated(part) }
        var reader = ByteReader(bytes, part: part)
        guard try reader.integer(UInt64.self) == magic else { throw .notThisKind(part) }
        let found: UInt16 = try reader.integer()
        guard found == formatVersion else { throw .futureVersion(part, UInt64(found)) }
        var tail = ByteReader(Array(bytes.suffix(checksumBytes)), part: part)
        guard try tail.integer(UInt64.self) == XXH3.hash64(bytes.dropLast(checksumBytes)) else {
            throw .checksum(part)
        }
        return reader
    }

    /// Takes the lengths and the body, which must be all that is left before the checksum.
    static func body(_ reader: inout ByteReader, bytesMax: Int) throws(FormatError) -> ByteReader {
        let rawBytes = Int(try reader.integer(UInt32.self))
        let compressedBytes = Int(try reader.integer(UInt32.self))
        guard rawBytes <= bytesMax else { throw .malformed(reader.part, "its body of \(rawBytes) bytes is too long") }
        guard reader.remaining == compressedBytes + checksumBytes else { throw .truncated(reader.part) }
        let range = try reader.take(compressedBytes)
        do throws(CodecError) {
            let body = try Decompressor.withThreadContext { decompressor throws(CodecError) in
                try decompressor.decompress(reader.bytes[range], count: rawBytes)
            }
            return ByteReader(body, part: reader.part)
        } catch {
            throw .frame(reader.part, error)
        }
    }
}
