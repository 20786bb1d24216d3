internal import Codec
package import VDriveModel

/// The hint where the newest commit may be: one line, `<term>-<epoch> <checksum>` and a line feed.
///
/// It is overwritten in place, so it may be torn or stale. A torn one reads as nil. An older whole line cannot be told
/// from a new one: the hint is only where the search for newer commits starts.
package struct LatestHint: Hashable, Sendable {
    package var version: ObjectVersion

    package init(version: ObjectVersion) { self.version = version }

    package func encode() -> [UInt8] {
        let text = ObjectName.digits(version)
        let sum = hexadecimal(XXH3.hash64(Array(text.utf8)), digits: 16)
        return Array("\(text) \(sum)\n".utf8)
    }

    /// - Returns: nil unless the bytes are exactly what `encode` gives for some version.
    package static func decode(_ bytes: [UInt8]) -> LatestHint? {
        guard bytes.count <= 64,
            let version = ObjectRole.version(String(decoding: bytes.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
        else { return nil }
        let hint = LatestHint(version: version)
        return hint.encode() == bytes ? hint : nil
    }
}
