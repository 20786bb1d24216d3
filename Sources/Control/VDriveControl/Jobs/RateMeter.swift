/// How fast something goes: units per second over the last seconds. A value, driven with times by its owner.
struct RateMeter: Sendable {
    /// Long enough for uploads that end in clumps, short enough to follow a link that changes.
    private static let window = Duration.seconds(15)
    private static let samplesMax = 32

    private struct Sample {
        var time: ContinuousClock.Instant
        var count: UInt64
    }

    private var samples: [Sample] = []

    /// Notes a count that only grows; one that has shrunk begins anew.
    mutating func note(_ count: UInt64, at time: ContinuousClock.Instant) {
        if let last = samples.last, count < last.count { samples = [] }
        samples.append(Sample(time: time, count: count))
        // The first one in the window stays as what the others are measured from.
        while samples.count > 2, samples[1].time < time - Self.window || samples.count > Self.samplesMax {
            samples.removeFirst()
        }
    }

    /// Nil until there is a span of time to tell it from.
    var perSecond: Double? {
        guard let first = samples.first, let last = samples.last, last.time > first.time else { return nil }
        return Double(last.count - first.count) / (first.time.duration(to: last.time) / .seconds(1))
    }
}
