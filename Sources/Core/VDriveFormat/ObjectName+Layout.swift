package import VDriveModel

/// The folders of a remote.
package enum ObjectFolder {
    package static let terms = "terms"
    package static let commits = "commits"
    package static let map = "map"
    package static let blocks = "blocks"

    package static func map(level: Int) -> String { "map/\(level)" }

    /// The folder of a chunk's objects; it holds those of 1024 neighbours.
    package static func blocks(of chunk: ChunkIndex) -> String {
        "blocks/" + hexadecimal(chunk.rawValue >> ObjectName.chunksPerFolderShift, digits: 7)
    }
}

/// The names of the objects of a disk (Protocol/FORMAT.md, "Names").
///
/// Numbers are lower-case hexadecimal; the widths are minima, so that names sort as numbers do as long as they last,
/// and larger numbers simply take more digits.
extension ObjectName {
    static let chunksPerFolderShift: UInt64 = 10

    /// The disk descriptor.
    package static let descriptor = ObjectName("vdrive.json")
    /// The hint where the newest commit may be.
    package static let latest = ObjectName("latest")
    /// Says, by being there without a descriptor, that the disk is no more and is being deleted; its uuid.
    package static let destroyed = ObjectName("destroyed")

    /// What is claimed to own a term: a folder or an object, as the store's primitive makes it.
    package static func term(_ term: Term) -> ObjectName {
        ObjectName("\(ObjectFolder.terms)/\(digits(term))")
    }

    /// The record of who claimed a term.
    ///
    /// - Parameter claimIsFolder: whether the claim made a folder, which then holds the record; beside a claimed object
    ///   the record gets the suffix `.owner`.
    package static func termOwner(_ term: Term, claimIsFolder: Bool) -> ObjectName {
        ObjectName(Self.term(term).path + (claimIsFolder ? "/owner" : ".owner"))
    }

    /// Says, by being there, that the owner of a term has let go of the disk.
    package static func termRelease(_ term: Term, claimIsFolder: Bool) -> ObjectName {
        ObjectName(Self.term(term).path + (claimIsFolder ? "/released" : ".released"))
    }

    package static func commit(_ version: ObjectVersion) -> ObjectName {
        ObjectName("\(ObjectFolder.commits)/\(digits(version))")
    }

    package static func mapNode(level: Int, index: UInt64, version: ObjectVersion) -> ObjectName {
        ObjectName("\(ObjectFolder.map(level: level))/\(hexadecimal(index, digits: 7)).\(digits(version))")
    }

    package static func chunk(_ chunk: ChunkIndex, version: ObjectVersion) -> ObjectName {
        let name = "blk_\(hexadecimal(chunk.rawValue, digits: 9)).\(digits(version)).zst"
        return ObjectName("\(ObjectFolder.blocks(of: chunk))/\(name)")
    }

    static func digits(_ term: Term) -> String { hexadecimal(term.rawValue, digits: 8) }

    static func digits(_ version: ObjectVersion) -> String {
        "\(digits(version.term))-\(hexadecimal(version.epoch.rawValue, digits: 10))"
    }
}

/// What a name means.
package enum ObjectRole: Hashable, Sendable {
    case descriptor
    case latest
    case destroyed
    case term(Term)
    case termOwner(Term)
    case termRelease(Term)
    case commit(ObjectVersion)
    case mapNode(level: Int, index: UInt64, version: ObjectVersion)
    case chunk(ChunkIndex, ObjectVersion)

    /// Reads a path below the store's prefix, such as a folder's name, a slash and a listed child.
    ///
    /// Only the form that the constructors of `ObjectName` give is a name; anything else is nil, and not ours.
    package init?(path: some StringProtocol) {
        guard let role = Self.guess(path.split(separator: "/", omittingEmptySubsequences: false)),
            role.spellings.contains(where: { $0.path == path })
        else { return nil }
        self = role
    }

    private var spellings: [ObjectName] {
        switch self {
        case .descriptor: [.descriptor]
        case .latest: [.latest]
        case .destroyed: [.destroyed]
        case .term(let term): [.term(term)]
        case .termOwner(let term):
            [.termOwner(term, claimIsFolder: true), .termOwner(term, claimIsFolder: false)]
        case .termRelease(let term):
            [.termRelease(term, claimIsFolder: true), .termRelease(term, claimIsFolder: false)]
        case .commit(let version): [.commit(version)]
        case .mapNode(let level, let index, let version): [.mapNode(level: level, index: index, version: version)]
        case .chunk(let chunk, let version): [.chunk(chunk, version: version)]
        }
    }

    /// The only role that the path can have; its spelling is checked by building the name again.
    private static func guess(_ parts: [some StringProtocol]) -> ObjectRole? {
        guard let last = parts.last else { return nil }
        switch (String(parts[0]), parts.count) {
        case ("vdrive.json", 1): return .descriptor
        case ("latest", 1): return .latest
        case ("destroyed", 1): return .destroyed
        case (ObjectFolder.terms, 2):
            let fields = last.split(separator: ".", omittingEmptySubsequences: false)
            return fields.count == 1 ? number(last).map { .term(Term($0)) } : note(fields[1], of: fields[0])
        case (ObjectFolder.terms, 3): return note(last, of: parts[1])
        case (ObjectFolder.commits, 2):
            return version(last).map { .commit($0) }
        case (ObjectFolder.map, 3):
            let fields = last.split(separator: ".")
            guard fields.count == 2, let level = Int(parts[1]), level >= 0, let index = number(fields[0]),
                let version = version(fields[1])
            else { return nil }
            return .mapNode(level: level, index: index, version: version)
        case (ObjectFolder.blocks, 3):
            let fields = last.dropFirst("blk_".count).split(separator: ".")
            guard fields.count == 3, let chunk = number(fields[0]), let version = version(fields[1]) else { return nil }
            return .chunk(ChunkIndex(chunk), version)
        default: return nil
        }
    }

    /// What stands inside a claim, or beside it.
    private static func note(_ kind: some StringProtocol, of term: some StringProtocol) -> ObjectRole? {
        guard let term = number(term).map(Term.init) else { return nil }
        switch String(kind) {
        case "owner": return .termOwner(term)
        case "released": return .termRelease(term)
        default: return nil
        }
    }

    private static func number(_ text: some StringProtocol) -> UInt64? { UInt64(text, radix: 16) }

    static func version(_ text: some StringProtocol) -> ObjectVersion? {
        let numbers = text.split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 2, let term = number(numbers[0]), let epoch = number(numbers[1]) else { return nil }
        return ObjectVersion(term: Term(term), epoch: Epoch(epoch))
    }
}

extension ObjectName {
    /// What the name means, or nil when it is no name of a disk's object.
    package var role: ObjectRole? { ObjectRole(path: path) }
}
