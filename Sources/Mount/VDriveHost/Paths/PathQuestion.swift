/// What is asked about files of a mounted disk.
///
/// It travels as JSON to a process of its own, see `PathProcess`.
package struct PathQuestion: Codable, Sendable {
    /// One path, and what of it is meant.
    package struct Target: Codable, Hashable, Sendable {
        /// Absolute, at or below the mount point.
        package var path: String
        /// Whether all below a directory is meant; without it a directory is only listed, never resolved.
        package var isRecursive: Bool
        /// What the filesystem keeps about the files, instead of what is in them.
        package var isMetadata: Bool
        /// As an earlier answer told it: when it is still true, nothing else is told.
        package var fingerprint: UInt64?

        package init(path: String, isRecursive: Bool, isMetadata: Bool = false, fingerprint: UInt64? = nil) {
            self.path = path
            self.isRecursive = isRecursive
            self.isMetadata = isMetadata
            self.fingerprint = fingerprint
        }
    }

    /// What is told file by file.
    package struct Page: Codable, Sendable {
        package var entriesMax: Int
        /// Where an earlier page ended.
        package var token: String?

        package init(entriesMax: Int, token: String? = nil) {
            self.entriesMax = entriesMax
            self.token = token
        }
    }

    /// What the filesystem holds in memory alone, and is made to write before the answer. Writing waits for room in the
    /// cache, so it may take long.
    package enum WriteOut: String, Codable, Sendable {
        /// Nothing: such data is counted, not placed.
        case nothing
        /// Files with data that may have no place on the disk yet.
        case unplaced
        case everything
    }

    package var targets: [Target]
    package var mountPoint: String
    /// The device with the filesystem, such as `/dev/loop3`.
    package var devicePath: String
    package var filesystem: Filesystem
    /// Nil for the ranges of whole targets.
    package var page: Page?
    package var writesOut: WriteOut

    package init(
        targets: [Target],
        mountPoint: String,
        devicePath: String,
        filesystem: Filesystem,
        page: Page? = nil,
        writesOut: WriteOut = .unplaced
    ) {
        self.targets = targets
        self.mountPoint = mountPoint
        self.devicePath = devicePath
        self.filesystem = filesystem
        self.page = page
        self.writesOut = writesOut
    }
}

extension Filesystem: Codable {}

/// One line of the answer.
package enum PathAnswer: Codable, Sendable {
    /// How far it is.
    case progress(Progress)
    /// Some of the ranges of a target, in order; more may follow. Start and length, in turn.
    case ranges([UInt64])
    /// The end of a target's ranges: targets come in the order of the question.
    case target(Summary)
    case entry(Entry)
    /// The end of a page.
    case pageEnd(token: String?)
    /// Nothing can be told, and nothing follows.
    case failure(Failure)

    package struct Progress: Codable, Hashable, Sendable {
        package var files: UInt64 = 0
        /// Bytes of the disk that they take.
        package var bytes: UInt64 = 0

        package init() {}
    }

    package struct Summary: Codable, Hashable, Sendable {
        package var progress = Progress()
        /// Files that could not be asked where they lie, and the reason for the first one.
        package var skipped: UInt64 = 0
        package var firstProblem: String?
        /// Data that has no place on the disk yet, in files that were not written out.
        package var unplacedBytes: UInt64 = 0
        /// Changes when a file is created, removed, renamed, written to or moved into another directory.
        package var fingerprint: UInt64 = 0
        /// Nothing has changed since the question's fingerprint; there are no ranges.
        package var isUnchanged = false
        /// Why it cannot be told; there are no ranges.
        package var failure: Failure?

        package init() {}
    }

    package struct Entry: Codable, Hashable, Sendable {
        package enum Kind: String, Codable, Sendable {
            case file, directory
        }

        package var path: String
        package var kind: Kind
        /// The file's length.
        package var bytes: UInt64
        /// Where it lies: start and length, in turn, in the order of the file.
        package var ranges: [UInt64]
        /// What of it has no place on the disk yet.
        package var unplacedBytes: UInt64 = 0
        /// Why that is not known.
        package var problem: String?
    }

    package struct Failure: Codable, Error, Hashable, Sendable {
        package enum Kind: String, Codable, Sendable {
            case notFound
            /// It is another filesystem's, or not of the right kind.
            case unsuitable
            /// The daemon's rights do not suffice.
            case forbidden
            /// The disk has answered with an error, as it does when its remote is away.
            case unreadable
            /// It was ended from outside.
            case busy
            case failed
        }

        package var kind: Kind
        /// One sentence for people.
        package var message: String

        package init(kind: Kind, message: String) {
            self.kind = kind
            self.message = message
        }
    }
}

extension Array where Element == UInt64 {
    /// Starts and lengths, in turn.
    init(_ ranges: some Sequence<Range<UInt64>>) {
        self = ranges.flatMap { [$0.lowerBound, $0.upperBound - $0.lowerBound] }
    }

    /// What starts and lengths, in turn, mean.
    package var asRanges: [Range<UInt64>] {
        stride(from: 0, to: count - 1, by: 2).map { self[$0]..<self[$0] + self[$0 + 1] }
    }
}
