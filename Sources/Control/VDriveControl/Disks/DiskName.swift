package import VDriveProtocol

/// The name of a disk on this machine; it becomes part of paths, so it is made of safe characters.
package struct DiskName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    /// - Throws: `invalidParams` when the text is not a letter or digit and up to 63 of `A-Za-z0-9._-`.
    package init(_ text: String) throws(RPCError) {
        let bytes = Array(text.utf8)
        let isValid =
            (1...64).contains(bytes.count) && Self.isLetterOrDigit(bytes[0])
            && bytes.allSatisfy { Self.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
        guard isValid else {
            throw RPCError(
                .invalidParams,
                "A disk's name is a letter or digit, then up to 63 letters, digits, dots, underscores or hyphens; "
                    + "\(JSONValue.string(String(text.prefix(80))).text) is not; choose another one."
            )
        }
        self.text = text
    }

    package static func < (left: Self, right: Self) -> Bool { left.text < right.text }
    package var description: String { text }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
