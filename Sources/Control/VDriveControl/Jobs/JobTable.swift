package import VDriveProtocol

/// All jobs and their states: a value, driven by `JobRegistry`, with no clock of its own.
///
/// ## Notes on the design
///
///     start ──▶ running ──end──▶ succeeded · failed · cancelled ──(too many)──▶ forgotten
///
/// | a running job | jobs.cancel |
/// |---|---|
/// | is settled | is refused: what it does cannot be left half done |
/// | may be cancelled | makes it `asked`, and tells its body once |
/// | is asked | changes nothing |
///
/// 1. A revision grows with every change that is announced; progress is announced at most so often, states always.
/// 2. A job ends as `cancelled` only when it was asked, and its body failed: one that succeeded has succeeded.
/// 3. Jobs that have ended are forgotten in the order of their ends, running ones never.
package struct JobTable: Sendable {
    enum Cancellation: Sendable {
        case settled
        case allowed
        case asked
    }

    private struct Record {
        /// Without its result.
        var job: Job
        var result: String?
        var meter = RateMeter()
        var announced: ContinuousClock.Instant
        var cancellation = Cancellation.settled
    }

    private let run: String
    private let kept: Int
    private var records: [String: Record] = [:]
    /// In the order of their starts.
    private var order: [String] = []
    /// In the order of their ends.
    private var ended: [String] = []
    private var lastNumber: UInt64 = 0
    package private(set) var runningCount = 0

    /// - Parameters:
    ///   - run: the daemon's, the first part of every id.
    ///   - kept: jobs that have ended and are still known.
    package init(run: String, kept: Int) {
        self.run = run
        self.kept = kept
    }

    /// Nil when there is no such job, or no longer.
    package func job(_ id: String) -> Job? {
        guard let record = records[id] else { return nil }
        var job = record.job
        job.result = record.result.flatMap { try? JSONValue(parsing: $0.utf8) }
        return job
    }

    /// Whether a job's revision is beyond one, or nothing more will come.
    package func hasNews(of id: String, after revision: UInt64) -> Bool {
        guard let job = records[id]?.job else { return true }
        return job.revision > revision || job.state != .running
    }

    /// The youngest jobs, the oldest of them first, without their results.
    package func list(most: Int) -> [Job] { order.suffix(most).compactMap { records[$0]?.job } }

    package mutating func start(
        _ kind: String,
        disk: String?,
        time: String,
        now: ContinuousClock.Instant
    ) -> Job {
        lastNumber += 1
        let job = Job(id: "\(run)-\(lastNumber)", kind: kind, disk: disk, startedAt: time)
        records[job.id] = Record(job: job, announced: now)
        order.append(job.id)
        runningCount += 1
        return job
    }

    /// Notes the disk that a job is about, where its parameters did not name it.
    ///
    /// - Returns: the job, when this is news.
    package mutating func belong(_ id: String, to disk: String) -> Job? {
        guard var record = records[id], record.job.state == .running, record.job.disk != disk else { return nil }
        record.job.disk = disk
        record.job.revision += 1
        records[id] = record
        return record.job
    }

    /// What a job's body tells of its progress; what is nil stays as it is.
    package struct Report: Sendable {
        package var phase: String?
        package var done: UInt64?
        package var total: UInt64?
        package var unit: JobUnit?

        package init(phase: String? = nil, done: UInt64? = nil, total: UInt64? = nil, unit: JobUnit? = nil) {
            self.phase = phase
            self.done = done
            self.total = total
            self.unit = unit
        }
    }

    /// Notes progress.
    ///
    /// - Parameter pause: the shortest time between two announcements.
    /// - Returns: the job, when this is to be announced.
    package mutating func report(
        _ id: String,
        _ report: Report,
        now: ContinuousClock.Instant,
        pause: Duration
    ) -> Job? {
        guard var record = records[id], record.job.state == .running else { return nil }
        let before = record.job.progress
        var progress = before
        if let phase = report.phase, record.cancellation != .asked { progress.phase = phase }
        if let unit = report.unit, unit != progress.unit {
            record.meter = RateMeter()
            progress.unit = unit
        }
        if let total = report.total { progress.total = total }
        if let done = report.done {
            progress.done = done
            record.meter.note(done, at: now)
        }
        progress.total = progress.total.map { max($0, progress.done) }
        progress.ratePerSecond = record.meter.perSecond
        progress.etaSeconds = Self.eta(progress)
        record.job.progress = progress
        let isNews = progress.phase != before.phase || (progress != before && record.announced + pause <= now)
        if isNews {
            record.announced = now
            record.job.revision += 1
        }
        records[id] = record
        return isNews ? record.job : nil
    }

    private static func eta(_ progress: JobProgress) -> Double? {
        guard let total = progress.total, let rate = progress.ratePerSecond, rate > 0 else { return nil }
        return Double(total - progress.done) / rate
    }

    /// Ends a job.
    ///
    /// - Parameter outcome: the result as JSON.
    /// - Returns: the job, with its result.
    package mutating func end(_ id: String, _ outcome: Result<String, RPCError>, time: String) -> Job? {
        guard var record = records[id], record.job.state == .running else { return nil }
        switch outcome {
        case .success(let text):
            record.job.state = .succeeded
            record.result = text
        case .failure(let error):
            record.job.state = record.cancellation == .asked ? .cancelled : .failed
            record.job.error = error.json
        }
        record.job.endedAt = time
        record.job.revision += 1
        record.job.progress.etaSeconds = nil
        records[id] = record
        let job = job(id)
        ended.append(id)
        runningCount -= 1
        if ended.count > kept {
            let forgotten = ended.removeFirst()
            records[forgotten] = nil
            order.removeAll { $0 == forgotten }
        }
        return job
    }

    // MARK: Cancelling

    /// From now on the job may be cancelled, or not.
    ///
    /// - Returns: whether it was asked to end before.
    package mutating func allowCancelling(_ id: String, _ isAllowed: Bool) -> Bool {
        guard let cancellation = records[id]?.cancellation else { return false }
        guard cancellation != .asked else { return true }
        records[id]?.cancellation = isAllowed ? .allowed : .settled
        return false
    }

    package func isAsked(_ id: String) -> Bool { records[id]?.cancellation == .asked }

    /// Asks a job to end.
    ///
    /// - Returns: the job, and whether its body is to be told.
    /// - Throws: `notFound`; `refused` when it has ended, or cannot be cancelled at this point.
    package mutating func cancel(_ id: String) throws(RPCError) -> (job: Job, isNews: Bool) {
        guard var record = records[id] else { throw Self.unknown(id) }
        guard record.job.state == .running else {
            throw RPCError(.refused, "The job \(id) has ended already: it is \(record.job.state.rawValue).")
        }
        switch record.cancellation {
        case .asked: return (record.job, false)
        case .settled:
            let phase = record.job.progress.phase.map { " (\($0))" } ?? ""
            throw RPCError(
                .refused,
                "What the job \(id) does right now\(phase) cannot be left half done; it comes to its end by itself."
            )
        case .allowed:
            record.cancellation = .asked
            record.job.progress.phase = "being cancelled"
            record.job.revision += 1
            records[id] = record
            return (record.job, true)
        }
    }

    static func unknown(_ id: String) -> RPCError {
        let name = JSONValue.string(String(id.prefix(80))).text
        return RPCError(.notFound, "There is no job \(name), or no longer; jobs.list has those that are known.")
    }
}
