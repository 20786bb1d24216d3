package import Synchronization
package import VDriveMeasure

/// What a disk counts and times, and the gauges that FUSE threads must read without asking anybody. Any thread.
///
/// Whatever is noted is noted after the answer, so that it costs the guest nothing.
package final class Counters: Sendable {
    // What every hit touches lies side by side.
    private let readHits = Atomic<UInt64>(0)
    private let readBytes = Atomic<UInt64>(0)
    private let writeHits = Atomic<UInt64>(0)
    private let writtenBytes = Atomic<UInt64>(0)
    /// Pages of the cache file that may still be filled before somebody must evict. Can be negative for a while.
    package let freePages = Atomic<Int>(0)
    /// Dirty pages, sealed ones included until their epoch is committed.
    package let dirtyPages = Atomic<Int>(0)
    /// Bytes of chunks that are not unallocated; `st_blocks` of the image.
    package let allocatedBytes = Atomic<UInt64>(0)

    private let readMisses = Atomic<UInt64>(0)
    private let writeMisses = Atomic<UInt64>(0)
    private let flushes = Atomic<UInt64>(0)
    private let trims = Atomic<UInt64>(0)
    private let readErrors = Atomic<UInt64>(0)
    private let writeErrors = Atomic<UInt64>(0)
    private let flushErrors = Atomic<UInt64>(0)
    private let trimErrors = Atomic<UInt64>(0)
    private let trimmedBytes = Atomic<UInt64>(0)
    private let fills = Atomic<UInt64>(0)
    private let filledBytes = Atomic<UInt64>(0)
    private let readAheadBytes = Atomic<UInt64>(0)
    private let readAheadUnusedBytes = Atomic<UInt64>(0)
    private let evictedChunks = Atomic<UInt64>(0)
    private let evictedBytes = Atomic<UInt64>(0)
    private let commits = Atomic<UInt64>(0)
    private let uploadedChunks = Atomic<UInt64>(0)
    private let uploadedRawBytes = Atomic<UInt64>(0)
    private let uploadedStoredBytes = Atomic<UInt64>(0)

    package let readHit = LatencyHistogram()
    package let readMiss = LatencyHistogram()
    package let writeHit = LatencyHistogram()
    package let writeMiss = LatencyHistogram()
    package let flush = LatencyHistogram()
    /// From the seal of an epoch until its commit counts.
    package let commit = LatencyHistogram()

    package init() {}

    /// Takes pages out of what is free, if there are as many.
    package func reserve(pages: Int) -> Bool {
        if pages == 0 { return true }
        let before = freePages.subtract(pages, ordering: .relaxed).oldValue
        if before >= pages { return true }
        freePages.add(pages, ordering: .relaxed)
        return false
    }

    // MARK: The guest's requests

    /// Begins to time a read, in case it will be a hit, when it is one of those that are timed.
    package func timeRead() -> HitTimer { HitTimer(after: readHits.load(ordering: .relaxed)) }
    package func timeWrite() -> HitTimer { HitTimer(after: writeHits.load(ordering: .relaxed)) }

    package func noteReadHit(bytes: Int, _ timer: HitTimer) {
        readHits.add(1, ordering: .relaxed)
        readBytes.add(UInt64(bytes), ordering: .relaxed)
        if timer.weight != 0 { readHit.record(since: timer.start, weight: timer.weight) }
    }

    package func noteWriteHit(bytes: Int, _ timer: HitTimer) {
        writeHits.add(1, ordering: .relaxed)
        writtenBytes.add(UInt64(bytes), ordering: .relaxed)
        if timer.weight != 0 { writeHit.record(since: timer.start, weight: timer.weight) }
    }

    /// The cache's disk did not give the bytes of a read that is noted as answered too.
    package func noteReadError() { readErrors.add(1, ordering: .relaxed) }

    /// - Parameters:
    ///   - bytes: that were read; nil when the guest got an error.
    ///   - start: when it came, on `MonotonicTime`.
    package func noteReadMiss(bytes: Int?, since start: UInt64) {
        readMiss.record(since: start)
        readMisses.add(1, ordering: .relaxed)
        if let bytes {
            readBytes.add(UInt64(bytes), ordering: .relaxed)
        } else {
            readErrors.add(1, ordering: .relaxed)
        }
    }

    /// - Parameters: as for a read.
    package func noteWriteMiss(bytes: Int?, since start: UInt64) {
        writeMiss.record(since: start)
        writeMisses.add(1, ordering: .relaxed)
        if let bytes {
            writtenBytes.add(UInt64(bytes), ordering: .relaxed)
        } else {
            writeErrors.add(1, ordering: .relaxed)
        }
    }

    package func noteFlush(isAnswered: Bool, since start: UInt64) {
        flush.record(since: start)
        flushes.add(1, ordering: .relaxed)
        if !isAnswered { flushErrors.add(1, ordering: .relaxed) }
    }

    /// - Parameter bytes: that were trimmed; nil when the guest got an error.
    package func noteTrim(bytes: UInt64?) {
        trims.add(1, ordering: .relaxed)
        if let bytes {
            trimmedBytes.add(bytes, ordering: .relaxed)
        } else {
            trimErrors.add(1, ordering: .relaxed)
        }
    }

    // MARK: The engine's work

    package func noteFill(bytes: Int) {
        fills.add(1, ordering: .relaxed)
        filledBytes.add(UInt64(bytes), ordering: .relaxed)
    }

    package func noteReadAhead(bytes: Int) { readAheadBytes.add(UInt64(bytes), ordering: .relaxed) }

    /// - Parameter bytes: that were read ahead and left the cache before anybody read them.
    package func noteReadAheadUnused(bytes: Int) { readAheadUnusedBytes.add(UInt64(bytes), ordering: .relaxed) }

    package func noteEviction(chunks: Int, bytes: Int) {
        evictedChunks.add(UInt64(chunks), ordering: .relaxed)
        evictedBytes.add(UInt64(bytes), ordering: .relaxed)
    }

    package func noteUpload(rawBytes: Int, storedBytes: Int) {
        uploadedChunks.add(1, ordering: .relaxed)
        uploadedRawBytes.add(UInt64(rawBytes), ordering: .relaxed)
        uploadedStoredBytes.add(UInt64(storedBytes), ordering: .relaxed)
    }

    package func noteCommit(since start: UInt64) {
        commit.record(since: start)
        commits.add(1, ordering: .relaxed)
    }

    // MARK: For whoever asks

    package func totals() -> Totals {
        var totals = Totals()
        totals.readHits = readHits.load(ordering: .relaxed)
        totals.readMisses = readMisses.load(ordering: .relaxed)
        totals.writeHits = writeHits.load(ordering: .relaxed)
        totals.writeMisses = writeMisses.load(ordering: .relaxed)
        totals.flushes = flushes.load(ordering: .relaxed)
        totals.trims = trims.load(ordering: .relaxed)
        totals.readErrors = readErrors.load(ordering: .relaxed)
        totals.writeErrors = writeErrors.load(ordering: .relaxed)
        totals.flushErrors = flushErrors.load(ordering: .relaxed)
        totals.trimErrors = trimErrors.load(ordering: .relaxed)
        totals.readBytes = readBytes.load(ordering: .relaxed)
        totals.writtenBytes = writtenBytes.load(ordering: .relaxed)
        totals.trimmedBytes = trimmedBytes.load(ordering: .relaxed)
        totals.fills = fills.load(ordering: .relaxed)
        totals.filledBytes = filledBytes.load(ordering: .relaxed)
        totals.readAheadBytes = readAheadBytes.load(ordering: .relaxed)
        totals.readAheadUnusedBytes = readAheadUnusedBytes.load(ordering: .relaxed)
        totals.evictedChunks = evictedChunks.load(ordering: .relaxed)
        totals.evictedBytes = evictedBytes.load(ordering: .relaxed)
        totals.commits = commits.load(ordering: .relaxed)
        totals.uploadedChunks = uploadedChunks.load(ordering: .relaxed)
        totals.uploadedRawBytes = uploadedRawBytes.load(ordering: .relaxed)
        totals.uploadedStoredBytes = uploadedStoredBytes.load(ordering: .relaxed)
        return totals
    }
}
