internal import VDriveModel

/// Which pages of the disk are pinned: what every rule names, and all of it merged. A value inside CacheActor.
///
/// It grows with the number of stretches, not with their length: 16 bytes a stretch of each rule, and 16 of the union.
struct PinSet: Sendable {
    /// Page numbers of the disk, in order, apart from each other.
    typealias Stretches = [Range<UInt64>]

    private let pagesPerChunk: UInt64
    private var rules: [PinRuleID: Stretches] = [:]
    /// The union of all rules.
    private(set) var merged: Stretches = []
    private(set) var pageCount: UInt64 = 0

    init(pagesPerChunk: Int) { self.pagesPerChunk = UInt64(pagesPerChunk) }

    var isEmpty: Bool { merged.isEmpty }

    /// The set after a rule names other pages; nil ends the rule.
    func replacing(_ rule: PinRuleID, with stretches: Stretches?) -> PinSet { replacing([(rule, stretches)]) }

    /// The set after rules name other pages; nil ends a rule.
    func replacing(_ changes: [(PinRuleID, Stretches?)]) -> PinSet {
        var next = self
        for (rule, stretches) in changes { next.rules[rule] = stretches.map(Self.merge) }
        next.merged = Self.merge(next.rules.values.flatMap { $0 })
        next.pageCount = next.merged.reduce(0) { $0 + UInt64($1.count) }
        return next
    }

    /// Whole pages of the disk that byte ranges touch.
    static func stretches(touchedBy ranges: [Range<UInt64>], _ geometry: DiskGeometry) -> Stretches {
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        return ranges.map { $0.clamped(to: 0..<geometry.diskBytes) }.filter { !$0.isEmpty }.map { range in
            range.lowerBound / pageBytes..<(range.upperBound - 1) / pageBytes + 1
        }
    }

    /// Stretches in order, with none that touches another.
    static func merge(_ stretches: Stretches) -> Stretches {
        var merged: Stretches = []
        for next in stretches.sorted(by: { $0.lowerBound < $1.lowerBound }) where !next.isEmpty {
            if let last = merged.last, next.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, next.upperBound)
            } else {
                merged.append(next)
            }
        }
        return merged
    }

    /// The pinned pages of a chunk; nil when there are none.
    func pages(of chunk: ChunkIndex) -> PageSet? {
        let whole = chunk.rawValue * pagesPerChunk..<(chunk.rawValue + 1) * pagesPerChunk
        var set: PageSet?
        for stretch in stretches(in: whole) {
            var pages = set ?? PageSet(pageCount: Int(pagesPerChunk))
            pages.insert(Int(stretch.lowerBound - whole.lowerBound)..<Int(stretch.upperBound - whole.lowerBound))
            set = pages
        }
        return set
    }

    /// The pinned parts of a stretch, in order.
    func stretches(in stretch: Range<UInt64>) -> Stretches {
        var low = 0
        var high = merged.count
        while low < high {
            let middle = (low + high) / 2
            if merged[middle].upperBound <= stretch.lowerBound { low = middle + 1 } else { high = middle }
        }
        return merged[low...].prefix { $0.lowerBound < stretch.upperBound }.map { $0.clamped(to: stretch) }
    }

    /// The pages that are pinned either here or there.
    func difference(from other: PinSet) -> Stretches {
        // A page is in one of them alone where it lies behind an odd number of ends of both.
        let here = merged.flatMap { [$0.lowerBound, $0.upperBound] }
        let there = other.merged.flatMap { [$0.lowerBound, $0.upperBound] }
        var ends: [UInt64] = []
        var (a, b) = (0, 0)
        while a < here.count || b < there.count {
            let next = min(a < here.count ? here[a] : .max, b < there.count ? there[b] : .max)
            let isHere = a < here.count && here[a] == next
            let isThere = b < there.count && there[b] == next
            if isHere { a += 1 }
            if isThere { b += 1 }
            if isHere != isThere { ends.append(next) }
        }
        return stride(from: 0, to: ends.count, by: 2).map { ends[$0]..<ends[$0 + 1] }
    }

    /// The chunks with a pinned page, in order and each once.
    func forEachChunk(_ visit: (ChunkIndex) -> Void) { forEachChunk(of: merged, visit) }

    /// The chunks with a page of stretches that are in order and apart, in order and each once.
    func forEachChunk(of stretches: Stretches, _ visit: (ChunkIndex) -> Void) {
        var next: UInt64 = 0
        for stretch in stretches {
            let last = (stretch.upperBound - 1) / pagesPerChunk
            var chunk = max(next, stretch.lowerBound / pagesPerChunk)
            while chunk <= last {
                visit(ChunkIndex(chunk))
                chunk += 1
            }
            next = max(next, last + 1)
        }
    }

    /// Stretches that are kept, over all rules.
    var stretchCount: Int { rules.values.reduce(0) { $0 + $1.count } }
}
