/// What counters showed at moments of the last minute, so that rates can be told whenever somebody asks. A value; the
/// time comes from the caller.
package struct SampleRing<Counts: Sendable>: Sendable {
    package struct Sample: Sendable {
        package let seconds: Double
        package let counts: Counts
    }

    /// The longest window that can be asked for, with one sample a second.
    package static var secondsMax: Double { 60 }
    /// How far a sample may be from where a window begins.
    private static var slackSeconds: Double { 0.5 }

    /// Oldest first.
    private var samples: [Sample] = []

    package init() {}

    /// - Parameter seconds: on a clock that only goes forward; not before the last sample.
    package mutating func note(_ counts: Counts, at seconds: Double) {
        samples.append(Sample(seconds: seconds, counts: counts))
        // One that is older than the longest window stays: the window begins with it.
        while samples.count > 1, seconds - samples[1].seconds >= Self.secondsMax { samples.removeFirst() }
    }

    /// Seconds since the last sample at some moment; nil when there is none.
    package func age(at seconds: Double) -> Double? { samples.last.map { seconds - $0.seconds } }

    /// Where the window of so many seconds that ends now begins; the first sample while there are not so many seconds.
    ///
    /// - Parameter window: 1 to 60 s.
    package func start(ofWindow window: Double, at seconds: Double) -> Sample? {
        samples.last { seconds - $0.seconds >= window - Self.slackSeconds } ?? samples.first
    }
}
