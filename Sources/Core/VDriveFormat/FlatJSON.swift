internal import Codec

/// The few JSON documents on the remote: one object of strings and whole numbers, sealed by a checksum.
///
///     {
///       "format": "vdrive disk",
///       "formatVersion": 1,
///       ...
///       "checksum": "0123456789abcdef"
///     }
///
/// "checksum" is the last member: XXH3, 16 lower-case hexadecimal digits, over all bytes before its key's opening
/// quote. After its value come a line feed, a brace and a line feed, and nothing else.
enum FlatJSON {
    enum Value: Hashable {
        case text(String)
        case number(UInt64)
        /// A value of a kind that we do not write; tolerated where its key is unknown.
        case other
    }

    static let bytesMax = 64 * 1024
    private static let checksumKey = "checksum"
    private static let tail: [UInt8] = Array("\n}\n".utf8)

    static func encode(_ members: [(key: String, value: Value)]) -> [UInt8] {
        var text = "{\n"
        for (key, value) in members {
            switch value {
            case .text(let string): text += "  \(quoted(key)): \(quoted(string)),\n"
            case .number(let number): text += "  \(quoted(key)): \(number),\n"
            case .other: preconditionFailure("no value to write for \(key)")
            }
        }
        text += "  "
        var bytes = Array(text.utf8)
        bytes.append(contentsOf: "\(quoted(checksumKey)): \(quoted(checksum(bytes[...])))".utf8)
        bytes.append(contentsOf: tail)
        return bytes
    }

    /// Reads a document.
    ///
    /// - Parameter format: what "format" must say.
    /// - Parameter formatVersion: the only "formatVersion" that is known.
    /// - Throws: `futureVersion` before anything else of the document is judged.
    static func decode(
        _ bytes: [UInt8],
        part: FormatPart,
        format: String,
        formatVersion: UInt64
    ) throws(FormatError) -> [String: Value] {
        guard bytes.count <= bytesMax else { throw .malformed(part, "it is longer than \(bytesMax) bytes") }
        var parser = FlatJSONParser(bytes, part: part)
        let (members, keyOffsets) = try parser.document()
        guard members["format"] == .text(format) else { throw .notThisKind(part) }
        guard case .number(let found)? = members["formatVersion"] else { throw .malformed(part, "it has no version") }
        guard found == formatVersion else { throw .futureVersion(part, found) }
        guard let offset = keyOffsets[checksumKey] else { throw .malformed(part, "it has no checksum") }
        let end = "\(quoted(checksumKey)): \(quoted(checksum(bytes[..<offset])))"
        guard bytes[offset...].elementsEqual(Array(end.utf8) + tail) else { throw .checksum(part) }
        return members
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> String {
        let digits = String(XXH3.hash64(bytes), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                result += "\\"
                result.unicodeScalars.append(scalar)
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension [String: FlatJSON.Value] {
    func text(_ key: String, part: FormatPart) throws(FormatError) -> String {
        guard case .text(let text)? = self[key] else { throw .malformed(part, "its \(key) is missing or no string") }
        return text
    }

    func number(_ key: String, part: FormatPart) throws(FormatError) -> UInt64 {
        guard case .number(let number)? = self[key] else {
            throw .malformed(part, "its \(key) is missing or no whole number")
        }
        return number
    }
}
