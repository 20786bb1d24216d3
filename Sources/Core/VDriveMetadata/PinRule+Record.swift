package import VDriveFormat
package import VDriveModel

/// A pin rule as LMDB keeps it; its id is the key.
extension PinRule {
    private static let rangeKind: UInt8 = 1
    private static let pathKind: UInt8 = 2

    // offset  size  field
    // 0       1     kind: 1 range · 2 path
    // 1       8     created at, seconds since 1970
    //
    // of a range:
    // 9       16    first byte, end
    //
    // of a path:
    // 9       1     flags: 1 recursive · 2 with metadata
    // 10      4     bytes of the path n
    // 14      n     the path, UTF-8
    // …       4     resolved ranges m
    // …       16·m  first byte, end
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        switch target {
        case .range(let range):
            writer.integer(Self.rangeKind)
            writer.integer(createdAt)
            Self.write(range, &writer)
        case .path(let path, let isRecursive, let hasMetadata):
            writer.integer(Self.pathKind)
            writer.integer(createdAt)
            writer.integer(UInt8((isRecursive ? 1 : 0) | (hasMetadata ? 2 : 0)))
            writer.integer(UInt32(path.utf8.count))
            writer.bytes += Array(path.utf8)
            let kept = resolved.prefix(Self.resolvedMax)
            writer.integer(UInt32(kept.count))
            for range in kept { Self.write(range, &writer) }
        }
        return writer.bytes
    }

    package init(id: PinRuleID, decoding bytes: [UInt8]) throws(FormatError) {
        var reader = ByteReader(bytes, part: .localRecord)
        let kind: UInt8 = try reader.integer()
        let createdAt: UInt64 = try reader.integer()
        switch kind {
        case Self.rangeKind:
            self.init(id: id, target: .range(try Self.range(&reader)), createdAt: createdAt)
        case Self.pathKind:
            let flags: UInt8 = try reader.integer()
            let path = try reader.take(Int(try reader.integer(UInt32.self)))
            let count = Int(try reader.integer(UInt32.self))
            guard flags < 4, count <= Self.resolvedMax else { throw .malformed(.localRecord, "pin flags \(flags)") }
            var resolved: [Range<UInt64>] = []
            for _ in 0..<count { resolved.append(try Self.range(&reader)) }
            self.init(
                id: id,
                target: .path(
                    String(decoding: bytes[path], as: UTF8.self),
                    isRecursive: flags & 1 != 0,
                    hasMetadata: flags & 2 != 0
                ),
                createdAt: createdAt,
                resolved: resolved
            )
        default: throw .malformed(.localRecord, "pin kind \(kind)")
        }
        try reader.finish()
    }

    private static func write(_ range: Range<UInt64>, _ writer: inout ByteWriter) {
        writer.integer(range.lowerBound)
        writer.integer(range.upperBound)
    }

    private static func range(_ reader: inout ByteReader) throws(FormatError) -> Range<UInt64> {
        let first: UInt64 = try reader.integer()
        let end: UInt64 = try reader.integer()
        guard first <= end else { throw .malformed(.localRecord, "a range ends before it begins") }
        return first..<end
    }
}
