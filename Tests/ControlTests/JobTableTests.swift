import Testing
import VDriveControl
import VDriveProtocol

/// The states of jobs, as a value with a clock of the test's own.
@Suite("jobs' states")
struct JobTableTests {
    private let start = ContinuousClock.now

    /// The value under test, where an expectation can change it.
    private final class Subject {
        var table: JobTable
        private let start: ContinuousClock.Instant

        init(kept: Int, start: ContinuousClock.Instant) {
            table = JobTable(run: "0badcafe", kept: kept)
            self.start = start
        }

        var runningCount: Int { table.runningCount }

        func belong(_ id: String, to disk: String) -> Job? { table.belong(id, to: disk) }

        func begin() -> Job { table.start("disk.sync", disk: "a", time: "then", now: start) }
        func job(_ id: String) -> Job? { table.job(id) }
        func list(most: Int) -> [Job] { table.list(most: most) }
        func hasNews(of id: String, after revision: UInt64) -> Bool { table.hasNews(of: id, after: revision) }
        func isAsked(_ id: String) -> Bool { table.isAsked(id) }
        func cancel(_ id: String) throws(RPCError) -> (job: Job, isNews: Bool) { try table.cancel(id) }
        func allowCancelling(_ id: String, _ isAllowed: Bool) -> Bool { table.allowCancelling(id, isAllowed) }

        func end(_ id: String, _ outcome: Result<String, RPCError>, time: String) -> Job? {
            table.end(id, outcome, time: time)
        }

        func report(_ id: String, _ report: JobTable.Report, after time: Duration) -> Job? {
            table.report(id, report, now: start + time, pause: .milliseconds(500))
        }
    }

    private func subject(kept: Int = 3) -> Subject { Subject(kept: kept, start: start) }

    @Test("a job begins, succeeds, and keeps its result")
    func success() throws {
        let table = subject()
        let job = table.begin()
        #expect(job.id == "0badcafe-1" && job.state == .running && job.revision == 1 && table.runningCount == 1)
        #expect(!table.hasNews(of: job.id, after: 1) && table.hasNews(of: job.id, after: 0))
        let ended = try #require(table.end(job.id, .success(#"{"x":1}"#), time: "now"))
        #expect(ended.state == .succeeded && ended.revision == 2 && ended.endedAt == "now")
        #expect(ended.result?["x"] == .integer(1) && ended.error == nil && table.runningCount == 0)
        #expect(table.job(job.id) == ended)
        #expect(table.list(most: 9)[0].result == nil, "a list leaves results out")
        #expect(table.hasNews(of: job.id, after: .max), "nothing more will come")
        #expect(table.end(job.id, .success("null"), time: "later") == nil, "it ends once")
        #expect(table.report(job.id, JobTable.Report(done: 1), after: .zero) == nil)
    }

    @Test("a job is told its disk later, once")
    func laterDisk() {
        let table = subject()
        let id = table.begin().id
        #expect(table.belong(id, to: "a") == nil, "it is known already")
        let job = table.belong(id, to: "b")
        #expect(job?.disk == "b" && job?.revision == 2 && table.job(id)?.disk == "b")
        _ = table.end(id, .success("null"), time: "now")
        #expect(table.belong(id, to: "c") == nil && table.belong("nobody", to: "c") == nil)
    }

    @Test("progress is announced at most so often, a new phase always")
    func announcements() throws {
        let table = subject()
        let id = table.begin().id
        func report(_ milliseconds: Int, _ report: JobTable.Report) -> Job? {
            table.report(id, report, after: .milliseconds(milliseconds))
        }
        #expect(report(1, JobTable.Report(phase: "one"))?.revision == 2)
        #expect(report(2, JobTable.Report(phase: "one")) == nil, "nothing new")
        #expect(report(3, JobTable.Report(done: 5, total: 10, unit: .chunks)) == nil, "too soon")
        #expect(table.job(id)?.progress.done == 5 && table.job(id)?.revision == 2, "it is known all the same")
        #expect(report(501, JobTable.Report(done: 6))?.revision == 3)
        #expect(report(502, JobTable.Report(phase: "two"))?.revision == 4)
        #expect(report(2000, JobTable.Report(done: 6))?.revision == 5, "it has become slower")
    }

    @Test("rate and rest are told from the last seconds")
    func rates() throws {
        let table = subject()
        let id = table.begin().id
        for second in 0...60 {
            // 100 a second at first, then 10.
            let done = UInt64(second <= 30 ? second * 100 : 3000 + (second - 30) * 10)
            let report = JobTable.Report(done: done, total: 4000, unit: .bytes)
            _ = table.report(id, report, after: .seconds(second))
            let progress = try #require(table.job(id)?.progress)
            switch second {
            case 0: #expect(progress.ratePerSecond == nil && progress.etaSeconds == nil)
            case 30: #expect(progress.ratePerSecond == 100 && progress.etaSeconds == 10)
            case 60: #expect(progress.ratePerSecond == 10 && progress.etaSeconds == 70)
            default: break
            }
        }
        _ = table.report(id, JobTable.Report(done: 9000), after: .seconds(61))
        #expect(table.job(id)?.progress.total == 9000, "there is never more done than there is")
        #expect(table.end(id, .success("null"), time: "now")?.progress.etaSeconds == nil)
    }

    @Test("a job is cancelled only where it may be, and only when it then fails")
    func cancelling() throws {
        let failure = Result<String, RPCError>.failure(RPCError(.retry, "The remote is away."))
        let table = subject()
        let ids = (0..<4).map { _ in table.begin().id }
        #expect(throws: RPCError(.notFound, #"There is no job "x", or no longer; jobs.list has those that are known."#))
        {
            _ = try table.cancel("x")
        }
        #expect(throws: RPCError.self, "it is settled") { _ = try table.cancel(ids[0]) }
        #expect(!table.isAsked(ids[0]))
        #expect(table.end(ids[0], failure, time: "now")?.state == .failed)

        #expect(!table.allowCancelling(ids[1], true))
        let (asked, isNews) = try table.cancel(ids[1])
        #expect(isNews && asked.state == .running && asked.revision == 2 && asked.progress.phase == "being cancelled")
        let again = try table.cancel(ids[1])
        #expect(!again.isNews && again.job.revision == 2 && table.isAsked(ids[1]))
        #expect(table.allowCancelling(ids[1], false), "it was asked before")
        #expect(table.report(ids[1], JobTable.Report(phase: "on"), after: .zero) == nil)
        let cancelled = table.end(ids[1], failure, time: "now")
        #expect(cancelled?.state == .cancelled && cancelled?.error?["data"]?["kind"] == .string("retry"))
        #expect(throws: RPCError.self, "it has ended") { _ = try table.cancel(ids[1]) }

        #expect(!table.allowCancelling(ids[2], true))
        _ = try table.cancel(ids[2])
        #expect(table.end(ids[2], .success("null"), time: "now")?.state == .succeeded, "it was faster")

        #expect(!table.allowCancelling(ids[3], true) && !table.allowCancelling(ids[3], false))
        #expect(throws: RPCError.self, "it is settled again") { _ = try table.cancel(ids[3]) }
    }

    @Test("those that ended first are forgotten, running ones never")
    func forgetting() {
        let table = subject(kept: 2)
        let ids = (0..<5).map { _ in table.begin().id }
        for id in [ids[4], ids[1], ids[3]] { _ = table.end(id, .success("null"), time: "now") }
        #expect(table.job(ids[4]) == nil && table.hasNews(of: ids[4], after: .max))
        #expect(table.list(most: 9).map(\.id) == [ids[0], ids[1], ids[2], ids[3]])
        #expect(table.list(most: 2).map(\.id) == [ids[2], ids[3]])
        #expect(table.runningCount == 2)
    }
}
