internal import Histogram
internal import Synchronization

/// How long requests of one kind took, as a distribution. Any thread records, without a lock and without an allocation.
///
/// ## Notes on the design
/// The cells are those of an HdrHistogram of two significant digits over nanoseconds: 256 of width 1, then 128 for each
/// further power of two. So a value is told with an error under 1 %, recording is two atomic additions, and whoever
/// asks pours the cells into an HdrHistogram. Values over 4.8 hours count as that long. 38 KiB each.
package final class LatencyHistogram: @unchecked Sendable {
    /// 2^44 ns are 4.8 hours: the commit of an epoch may wait for a remote that is away.
    static let highestNanoseconds: UInt64 = 1 << 44
    private static let halfBits: UInt64 = 7
    static let cellCount = Int((44 - halfBits) << halfBits) + 1 << halfBits

    // SAFETY: both are set here and freed at the end; in between they are only touched by atomics.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let sumNanoseconds = Atomic<UInt64>(0)

    package init() {
        cells = .allocate(capacity: Self.cellCount)
        for index in 0..<Self.cellCount { (cells + index).initialize(to: Atomic(0)) }
    }

    deinit { cells.deallocate() }

    /// - Parameters:
    ///   - nanoseconds: how long it took.
    ///   - weight: how many requests this one stands for, where not all are timed.
    package func record(nanoseconds: UInt64, weight: UInt64 = 1) {
        cells[Self.cell(of: nanoseconds)].add(weight, ordering: .relaxed)
        sumNanoseconds.add(nanoseconds &* weight, ordering: .relaxed)
    }

    /// Records what began at `start`, on `MonotonicTime`, and ends now.
    package func record(since start: UInt64, weight: UInt64 = 1) {
        let now = MonotonicTime.nanoseconds
        record(nanoseconds: now > start ? now - start : 0, weight: weight)
    }

    static func cell(of nanoseconds: UInt64) -> Int {
        let value = min(nanoseconds, highestNanoseconds - 1)
        let bits = UInt64(64 - value.leadingZeroBitCount)
        let shift = bits > halfBits + 1 ? bits - halfBits - 1 : 0
        return Int(shift << halfBits + value >> shift)
    }

    /// The nanoseconds that a cell stands for.
    static func range(ofCell cell: Int) -> ClosedRange<UInt64> {
        let cell = UInt64(cell)
        let shift = cell >> (halfBits + 1) == 0 ? 0 : cell >> halfBits - 1
        let low = (cell - shift << halfBits) << shift
        return low...(low + (1 << shift) - 1)
    }

    /// What was recorded so far. Costs a walk over the cells and an HdrHistogram, about a tenth of a millisecond.
    package func summary() -> LatencySummary {
        var histogram = Histogram<UInt64>(
            highestTrackableValue: Self.highestNanoseconds,
            numberOfSignificantValueDigits: .two
        )
        var counts = [UInt64](repeating: 0, count: LatencySummary.boundsSeconds.count)
        var bound = 0
        for cell in 0..<Self.cellCount {
            let count = cells[cell].load(ordering: .relaxed)
            guard count > 0 else { continue }
            let range = Self.range(ofCell: cell)
            let middle = range.lowerBound + (range.upperBound - range.lowerBound) / 2
            histogram.record(middle, count: count)
            while bound < counts.count, Double(middle) > LatencySummary.boundsSeconds[bound] * 1e9 { bound += 1 }
            if bound < counts.count { counts[bound] += count }
        }
        for index in counts.indices.dropFirst() { counts[index] += counts[index - 1] }
        return LatencySummary(
            histogram,
            sumSeconds: Double(sumNanoseconds.load(ordering: .relaxed)) / 1e9,
            countsWithinBounds: counts
        )
    }
}

/// Which hits are timed: reading the clock twice for each would cost more than the rest of the measuring together.
///
/// The first ones all, so that a short test shows something; then one in 64, which stands for 64. So the histogram's
/// count follows the number of hits within 64, and hits and misses can be added up.
package struct HitTimer {
    package static let exactHits: UInt64 = 1024
    package static let interval: UInt64 = 64

    /// On `MonotonicTime`; 0 when this one is not timed.
    package let start: UInt64
    /// 0 when this one is not timed.
    package let weight: UInt64

    /// - Parameter count: hits before this one.
    package init(after count: UInt64) {
        weight = Self.weight(after: count)
        start = weight == 0 ? 0 : MonotonicTime.nanoseconds
    }

    static func weight(after count: UInt64) -> UInt64 {
        if count < exactHits { return 1 }
        return count % interval == interval - 1 ? interval : 0
    }
}
