package import Codec
package import VDriveModel

/// The kinds of things on the remote, as messages name them.
package enum FormatPart: String, Hashable, Sendable {
    case chunkObject = "chunk object"
    case mapNode = "map node"
    case commit = "commit"
    case descriptor = "vdrive.json"
    case termOwner = "owner record"
    case hint = "hint"
    case localRecord = "local record"
}

/// Why bytes from the remote were refused. Each text is one sentence.
package enum FormatError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes end too early.
    case truncated(FormatPart)
    /// The first bytes are not those of this kind of object.
    case notThisKind(FormatPart)
    /// Written by a newer vdrive.
    case futureVersion(FormatPart, UInt64)
    /// The bytes changed after they were written.
    case checksum(FormatPart)
    case wrongDisk(FormatPart, found: DiskID)
    /// Whole and sound, but another object than the one asked for.
    case wrongObject(FormatPart, field: String, found: UInt64, expected: UInt64)
    /// Nothing that this format allows.
    case malformed(FormatPart, String)
    /// A compressed frame is damaged.
    case frame(FormatPart, CodecError)

    package var description: String {
        switch self {
        case .truncated(let part):
            "The \(part.rawValue) is cut short."
        case .notThisKind(let part):
            "The bytes read are not those of a \(part.rawValue)."
        case .futureVersion(let part, let version):
            "The \(part.rawValue) has format version \(version), which this vdrive does not know; use a newer one."
        case .checksum(let part):
            "The \(part.rawValue) does not match its checksum: the bytes changed after they were written."
        case .wrongDisk(let part, let found):
            "The \(part.rawValue) belongs to another disk, \(found)."
        case .wrongObject(let part, let field, let found, let expected):
            "The \(part.rawValue) is another one than asked for: its \(field) is \(found) instead of \(expected)."
        case .malformed(let part, let reason):
            "The \(part.rawValue) is malformed: \(reason)."
        case .frame(let part, let error):
            "The \(part.rawValue) is damaged: \(error)."
        }
    }
}
