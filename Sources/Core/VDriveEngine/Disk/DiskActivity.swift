internal import Synchronization
internal import VDriveDataPlane
package import VDriveMeasure
package import VDriveStore

/// What a disk does: counted since it was attached, per second lately, and how long each kind of request takes.
package struct DiskActivity: Sendable {
    package let totals: Totals
    package let remote: StoreMeter.Snapshot
    /// One for each of `Rates.windows`, in their order.
    package let rates: [Rates]
    package let readHit: LatencySummary
    package let readMiss: LatencySummary
    package let writeHit: LatencySummary
    package let writeMiss: LatencySummary
    package let flush: LatencySummary
    package let commit: LatencySummary
    package let remoteGet: LatencySummary
    package let remotePut: LatencySummary
    package let remoteOther: LatencySummary

    /// Averages over the last so many seconds, per second.
    package struct Rates: Sendable {
        /// In seconds.
        package static let windows: [Double] = [1, 10, 60]

        package let windowSeconds: Double
        package var readHits = 0.0
        package var readMisses = 0.0
        package var writeHits = 0.0
        package var writeMisses = 0.0
        package var flushes = 0.0
        package var readBytes = 0.0
        package var writtenBytes = 0.0
        package var remoteRequests = 0.0
        package var receivedBytes = 0.0
        package var sentBytes = 0.0
    }
}

/// Where a disk's activity is told from. Any thread; nothing of it waits.
final class ActivityMeter: Sendable {
    struct Counts: Sendable {
        let totals: Totals
        let remote: StoreMeter.Snapshot
    }

    /// Rates need one sample a second, and no more.
    private static let sampleSeconds = 0.9

    private let counters: Counters
    private let store: StoreMeter
    private let samples: Mutex<SampleRing<Counts>>

    init(counters: Counters, store: StoreMeter) {
        self.counters = counters
        self.store = store
        var ring = SampleRing<Counts>()
        ring.note(Counts(totals: counters.totals(), remote: store.snapshot()), at: Self.seconds)
        samples = Mutex(ring)
    }

    private static var seconds: Double { Double(MonotonicTime.nanoseconds) / 1e9 }

    private var counts: Counts { Counts(totals: counters.totals(), remote: store.snapshot()) }

    /// Remembers what the counters show, unless that was done within the last second. The disk's timekeeper calls it.
    func sample() {
        let now = Self.seconds
        samples.withLock { samples in
            if let age = samples.age(at: now), age < Self.sampleSeconds { return }
            samples.note(counts, at: now)
        }
    }

    func activity() -> DiskActivity {
        let now = counts
        let seconds = Self.seconds
        let starts = samples.withLock { samples in
            DiskActivity.Rates.windows.map { samples.start(ofWindow: $0, at: seconds) }
        }
        return DiskActivity(
            totals: now.totals,
            remote: now.remote,
            rates: zip(DiskActivity.Rates.windows, starts).map { window, start in
                guard let start, seconds > start.seconds else { return DiskActivity.Rates(windowSeconds: window) }
                return DiskActivity.Rates(window, from: start.counts, to: now, seconds: seconds - start.seconds)
            },
            readHit: counters.readHit.summary(),
            readMiss: counters.readMiss.summary(),
            writeHit: counters.writeHit.summary(),
            writeMiss: counters.writeMiss.summary(),
            flush: counters.flush.summary(),
            commit: counters.commit.summary(),
            remoteGet: store.get.summary(),
            remotePut: store.put.summary(),
            remoteOther: store.other.summary()
        )
    }
}

extension DiskActivity.Rates {
    init(_ window: Double, from old: ActivityMeter.Counts, to new: ActivityMeter.Counts, seconds: Double) {
        self.init(windowSeconds: window)
        func rate(_ before: UInt64, _ after: UInt64) -> Double { Double(after - min(before, after)) / seconds }
        readHits = rate(old.totals.readHits, new.totals.readHits)
        readMisses = rate(old.totals.readMisses, new.totals.readMisses)
        writeHits = rate(old.totals.writeHits, new.totals.writeHits)
        writeMisses = rate(old.totals.writeMisses, new.totals.writeMisses)
        flushes = rate(old.totals.flushes, new.totals.flushes)
        readBytes = rate(old.totals.readBytes, new.totals.readBytes)
        writtenBytes = rate(old.totals.writtenBytes, new.totals.writtenBytes)
        remoteRequests = rate(old.remote.requests, new.remote.requests)
        receivedBytes = rate(old.remote.bytesIn, new.remote.bytesIn)
        sentBytes = rate(old.remote.bytesOut, new.remote.bytesOut)
    }
}
