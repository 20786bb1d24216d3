import Dispatch
import Histogram
import Testing

@testable import VDriveMeasure

@Suite struct LatencyHistogramTests {
    /// SplitMix64: the same values each time.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test("the cells cover all values without a gap, each within 1 %")
    func cells() {
        var next: UInt64 = 0
        for cell in 0..<LatencyHistogram.cellCount {
            let range = LatencyHistogram.range(ofCell: cell)
            #expect(range.lowerBound == next)
            #expect(LatencyHistogram.cell(of: range.lowerBound) == cell)
            #expect(LatencyHistogram.cell(of: range.upperBound) == cell)
            #expect(Double(range.upperBound - range.lowerBound) <= Double(max(range.lowerBound, 1)) / 100)
            next = range.upperBound + 1
        }
        #expect(next == LatencyHistogram.highestNanoseconds)
        #expect(LatencyHistogram.cell(of: .max) == LatencyHistogram.cellCount - 1)
    }

    @Test("percentiles are within 1 % of an exact sort, and of an HdrHistogram that saw every value")
    func precision() {
        var generator = Generator(state: 5)
        let ours = LatencyHistogram()
        var other = Histogram<UInt64>(highestTrackableValue: 1 << 44, numberOfSignificantValueDigits: .three)
        // From 1 us to 1 s, every magnitude as likely.
        let values = (0..<20_000).map { _ in
            (1000 << UInt64.random(in: 0..<20, using: &generator)) + UInt64.random(in: 0..<1000, using: &generator)
        }
        for value in values {
            ours.record(nanoseconds: value)
            other.record(value)
        }
        let sorted = values.sorted()
        let summary = ours.summary()
        #expect(summary.count == 20_000)
        let exact = { (share: Double) in Double(sorted[Int(share * 20_000) - 1]) / 1e9 }
        for (value, share) in [
            (summary.p50Seconds, 0.5), (summary.p90Seconds, 0.9), (summary.p99Seconds, 0.99),
            (summary.p999Seconds, 0.999), (summary.maxSeconds, 1), (summary.minSeconds, 0.000_05),
        ] {
            #expect(abs(value / exact(share) - 1) < 0.01, "\(share): \(value), not \(exact(share))")
            guard share > 0.001 else { continue }
            let theirs = Double(other.valueAtPercentile(100 * share)) / 1e9
            #expect(abs(value / theirs - 1) < 0.01, "\(share): \(value), not \(theirs)")
        }
        let sum = values.reduce(0, +)
        #expect(abs(summary.sumSeconds / (Double(sum) / 1e9) - 1) < 1e-9)
        #expect(abs(summary.meanSeconds * 20_000 / summary.sumSeconds - 1) < 1e-9)
    }

    @Test("the counts within the bounds are those of the values, and what is longer is in none")
    func bounds() {
        let histogram = LatencyHistogram()
        // In the middle between two bounds each, so that 1 % changes nothing.
        for nanoseconds: UInt64 in [5000, 15_000, 15_000, 700_000_000, 250_000_000_000, 900_000_000_000] {
            histogram.record(nanoseconds: nanoseconds)
        }
        let summary = histogram.summary()
        let within = Dictionary(uniqueKeysWithValues: zip(LatencySummary.boundsSeconds, summary.countsWithinBounds))
        #expect(within[0.000_01] == 1)
        #expect(within[0.000_025] == 3)
        #expect(within[0.5] == 3)
        #expect(within[1] == 4)
        #expect(within[60] == 4)
        #expect(within[300] == 5)
        #expect(summary.count == 6)
        #expect(LatencySummary.boundsSeconds == LatencySummary.boundsSeconds.sorted())
    }

    @Test("a value beyond the end counts, and its time too")
    func beyond() {
        let histogram = LatencyHistogram()
        histogram.record(nanoseconds: 1 << 50)
        let summary = histogram.summary()
        #expect(summary.count == 1)
        #expect(summary.maxSeconds > 17_000)
        #expect(summary.sumSeconds == Double(1 << 50) / 1e9)
    }

    @Test("nothing recorded is all zeros")
    func empty() {
        let summary = LatencyHistogram().summary()
        #expect(summary.count == 0 && summary.maxSeconds == 0 && summary.p99Seconds == 0 && summary.meanSeconds == 0)
        #expect(summary.countsWithinBounds.allSatisfy { $0 == 0 })
    }

    @Test("many threads lose nothing")
    func threads() {
        let histogram = LatencyHistogram()
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for step in 0..<10_000 { histogram.record(nanoseconds: UInt64(step * (thread + 1)), weight: 2) }
        }
        #expect(histogram.summary().count == 160_000)
    }

    @Test("the weights of the timed hits add up to the hits, within one interval")
    func sampling() {
        var total: UInt64 = 0
        for hits in 0..<UInt64(10_000) {
            total += HitTimer.weight(after: hits)
            let done = hits + 1
            #expect(total <= done && total + HitTimer.interval > done, "\(total) after \(done)")
        }
        #expect(HitTimer(after: 2000).start == 0)
        #expect(HitTimer(after: 2047).start > 0)
    }
}
