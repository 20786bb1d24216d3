/// The identity of a pin rule on its disk: chosen at random when the rule is made, never 0.
package struct PinRuleID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    package init(using generator: inout some RandomNumberGenerator) {
        rawValue = UInt64.random(in: 1 ... .max, using: &generator)
    }

    /// Reads the form of `description`.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 16, let value = UInt64(text, radix: 16), value != 0 else { return nil }
        rawValue = value
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    /// 16 lower-case hexadecimal digits.
    package var description: String { hexadecimal(rawValue, digits: 16) }
}

/// What somebody wants to stay in the cache of this machine.
package struct PinRule: Hashable, Sendable {
    package enum Target: Hashable, Sendable {
        /// Bytes of the disk.
        case range(Range<UInt64>)
        /// A file, or a folder, by its path on the mounted filesystem.
        ///
        /// - isRecursive: also what lies below a folder.
        /// - hasMetadata: in place of the files' bytes the filesystem's own blocks that say what and where they are.
        case path(String, isRecursive: Bool, hasMetadata: Bool)

        /// Paths are the same when their bytes are.
        package static func == (left: Self, right: Self) -> Bool {
            switch (left, right) {
            case (.range(let left), .range(let right)): left == right
            case (.path(let left, let below, let metadata), .path(let right, let otherBelow, let otherMetadata)):
                left.isSamePath(as: right) && below == otherBelow && metadata == otherMetadata
            default: false
            }
        }

        package func hash(into hasher: inout Hasher) {
            switch self {
            case .range(let range): hasher.combine(range)
            case .path(let path, let isRecursive, let hasMetadata):
                hasher.combine(Array(path.utf8))
                hasher.combine(isRecursive)
                hasher.combine(hasMetadata)
            }
        }
    }

    /// Byte ranges that one rule keeps; beyond that a file is too scattered to be remembered.
    package static let resolvedMax = 65_536

    package var id: PinRuleID
    package var target: Target
    /// Seconds since 1970.
    package var createdAt: UInt64
    /// Where a path's bytes were when somebody looked last: they stay pinned until it is looked at again. Empty for a
    /// range. At most `resolvedMax`.
    package var resolved: [Range<UInt64>]

    package init(id: PinRuleID, target: Target, createdAt: UInt64, resolved: [Range<UInt64>] = []) {
        self.id = id
        self.target = target
        self.createdAt = createdAt
        self.resolved = resolved
    }

    /// The byte ranges of the disk that the rule pins, as far as is known now.
    package var ranges: [Range<UInt64>] {
        switch target {
        case .range(let range): [range]
        case .path: resolved
        }
    }
}
