/// Byte ranges of a disk, gathered in any order, given back sorted and without overlap.
///
/// Memory is bounded: ranges that touch become one as they come, and when more than `countMax` are left, the smallest
/// gaps between them are taken in, so that the answer covers a little more than was asked for.
package struct DiskRanges: Sendable {
    /// 16 bytes each.
    package static let countMax = 1 << 20
    private static let firstMerge = 4096

    private let limit: Int
    private var ranges: [Range<UInt64>] = []
    private var mergeAt: Int

    /// - Parameter limit: how many ranges may be left, 1 or more.
    package init(limit: Int = countMax) {
        precondition(limit > 0, "\(limit) ranges")
        self.limit = limit
        mergeAt = min(Self.firstMerge, 2 * limit)
    }

    package mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        // Files mostly lie one behind the other.
        if let last = ranges.last, last.upperBound == range.lowerBound {
            ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
            return
        }
        ranges.append(range)
        guard ranges.count >= mergeAt else { return }
        merge()
        mergeAt = min(max(Self.firstMerge, 2 * ranges.count), 2 * limit)
    }

    /// All that was inserted: sorted, no two touching.
    package mutating func merged() -> [Range<UInt64>] {
        merge()
        return ranges
    }

    private mutating func merge() {
        ranges.sort { $0.lowerBound < $1.lowerBound }
        join(gap: 0)
        guard ranges.count > limit else { return }
        // The gap that the wanted number of neighbours stay under.
        let gaps = zip(ranges, ranges.dropFirst()).map { $1.lowerBound - $0.upperBound }.sorted()
        // Half of what is allowed, or the next few ranges would make it all be done again.
        join(gap: gaps[ranges.count - max(1, limit / 2) - 1])
    }

    /// Makes one of neighbours that are not farther apart than `gap` bytes.
    private mutating func join(gap: UInt64) {
        var kept = 0
        for range in ranges {
            if kept > 0, range.lowerBound <= ranges[kept - 1].upperBound.addingReportingOverflow(gap).partialValue {
                let last = ranges[kept - 1]
                ranges[kept - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                ranges[kept] = range
                kept += 1
            }
        }
        ranges.removeSubrange(kept...)
    }
}
