internal import Histogram

/// A distribution of latencies at one moment. All zero when nothing was recorded; each value is within 1 %.
package struct LatencySummary: Sendable, Hashable {
    /// Upper bounds, in seconds, for which the counts are kept too, as Prometheus wants them.
    package static let boundsSeconds: [Double] = [
        0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
        0.5, 1, 2.5, 5, 10, 30, 60, 300,
    ]

    package let count: UInt64
    package let sumSeconds: Double
    package let minSeconds: Double
    package let meanSeconds: Double
    package let p50Seconds: Double
    package let p90Seconds: Double
    package let p99Seconds: Double
    package let p999Seconds: Double
    package let maxSeconds: Double
    /// How many took at most as long as each bound; never falling.
    package let countsWithinBounds: [UInt64]

    init(_ histogram: Histogram<UInt64>, sumSeconds: Double, countsWithinBounds: [UInt64]) {
        let isEmpty = histogram.totalCount == 0
        func percentile(_ percent: Double) -> Double {
            isEmpty ? 0 : Double(histogram.valueAtPercentile(percent)) / 1e9
        }
        count = histogram.totalCount
        self.sumSeconds = sumSeconds
        minSeconds = isEmpty ? 0 : Double(histogram.min) / 1e9
        meanSeconds = isEmpty ? 0 : sumSeconds / Double(histogram.totalCount)
        p50Seconds = percentile(50)
        p90Seconds = percentile(90)
        p99Seconds = percentile(99)
        p999Seconds = percentile(99.9)
        maxSeconds = isEmpty ? 0 : Double(histogram.max) / 1e9
        self.countsWithinBounds = countsWithinBounds
    }
}
