import ServiceLifecycle
import Synchronization
package import VDriveProtocol

/// Runs the long methods' calls, and knows how far each has come.
///
/// ## Notes on the design
///
///     a call, or jobs.start ──▶ start ──▶ run()'s group ──▶ end ──▶ whoever waits
///
/// A job is no child of the connection that asked for it: it goes on when its client goes away. All jobs are children
/// of `run()`, which stops after the disks: by then what they waited for has come to its end, and the little that is
/// left gets a moment, and is cancelled then.
package final class JobRegistry: Service, CustomStringConvertible {
    /// How long jobs may take to end once the disks are gone.
    private static let grace = Duration.seconds(5)

    private typealias Work = @Sendable () async -> Void

    private struct Waiter {
        let afterRevision: UInt64
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var table: JobTable
        var waiters: [String: [UInt64: Waiter]] = [:]
        var lastWaiter: UInt64 = 0
        /// Ends what runs in `JobHandle.cancellable`.
        var cancellers: [String: AsyncStream<Never>.Continuation] = [:]
    }

    private let events: EventHub
    private let state: Mutex<State>
    private let work: AsyncStream<Work>
    private let addWork: AsyncStream<Work>.Continuation

    package init(events: EventHub) {
        self.events = events
        state = Mutex(State(table: JobTable(run: events.run, kept: RPCLimits.jobsKept)))
        (work, addWork) = AsyncStream.makeStream()
    }

    package var description: String { "jobs" }

    /// Carries all jobs until the graceful shutdown, or until it is cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { race in
            race.addTask {
                await withDiscardingTaskGroup { group in
                    for await job in self.work { group.addTask { await job() } }
                }
            }
            race.addTask {
                // Throws when cancelled, which ends the jobs no less.
                try? await gracefulShutdown()
                self.addWork.finish()
                try? await Task.sleep(for: Self.grace)
            }
            await race.next()
            race.cancelAll()
        }
    }

    // MARK: Jobs

    /// Starts a job.
    ///
    /// - Parameters:
    ///   - most: jobs that may run before this one; nil for any number.
    ///   - body: gives the result as JSON.
    /// - Throws: `busy` when there are so many, or the daemon stops.
    package func start(
        _ kind: MethodName,
        disk: String?,
        most: Int?,
        _ body: @escaping @Sendable (JobHandle) async -> Result<String, RPCError>
    ) throws(RPCError) -> Job {
        if let most, state.withLock({ $0.table.runningCount }) >= most {
            throw RPCError(.busy, "\(most) jobs run already, the most there may be; try again when one has ended.")
        }
        let job = begin(kind, disk: disk)
        let handle = JobHandle(id: job.id, registry: self)
        let added = addWork.yield { self.end(job.id, await body(handle)) }
        guard case .terminated = added else { return job }
        let error = RPCError(.busy, "The daemon is stopping; try again when it is back.")
        end(job.id, .failure(error))
        throw error
    }

    /// Starts a job, and waits for its end.
    ///
    /// - Returns: its result as JSON, or its error; `busy` when this task is cancelled: the job goes on.
    package func run(
        _ kind: MethodName,
        disk: String?,
        _ body: @escaping @Sendable (JobHandle) async -> Result<String, RPCError>
    ) async -> Result<String, RPCError> {
        let (ends, source) = AsyncStream.makeStream(of: Result<String, RPCError>.self)
        do throws(RPCError) {
            let job = try start(kind, disk: disk, most: nil) { job in
                let outcome = await body(job)
                source.yield(outcome)
                return outcome
            }
            for await outcome in ends { return outcome }
            throw RPCError(.busy, "Nobody waits for the job \(job.id) any more; it goes on.")
        } catch {
            return .failure(error)
        }
    }

    /// Runs a job in the caller's own task: for what the daemon does by itself.
    package func track(
        _ kind: MethodName,
        disk: String?,
        _ body: @Sendable (JobHandle) async throws(RPCError) -> Void
    ) async throws(RPCError) {
        let job = begin(kind, disk: disk)
        do throws(RPCError) {
            try await body(JobHandle(id: job.id, registry: self))
            end(job.id, .success("null"))
        } catch {
            end(job.id, .failure(error))
            throw error
        }
    }

    private func begin(_ kind: MethodName, disk: String?) -> Job {
        let time = EventHub.now()
        return change { state in
            let job = state.table.start(kind.rawValue, disk: disk, time: time, now: .now)
            events.publish(.jobStarted(job), disk: disk)
            return job
        }
    }

    private func end(_ id: String, _ outcome: Result<String, RPCError>) {
        let time = EventHub.now()
        change { state in
            state.cancellers[id] = nil
            guard let job = state.table.end(id, outcome, time: time) else { return }
            events.publish(.jobEnded(job), disk: job.disk)
        }
    }

    /// Changes the table, tells the events in the order of the changes, and wakes those who wait for them.
    private func change<Answer>(_ body: (inout State) -> Answer) -> Answer {
        let (answer, woken) = state.withLock { state -> (Answer, [CheckedContinuation<Void, Never>]) in
            let answer = body(&state)
            var woken: [CheckedContinuation<Void, Never>] = []
            for (id, waiters) in state.waiters {
                for (number, waiter) in waiters where state.table.hasNews(of: id, after: waiter.afterRevision) {
                    woken.append(waiter.continuation)
                    state.waiters[id]?[number] = nil
                }
                if state.waiters[id]?.isEmpty == true { state.waiters[id] = nil }
            }
            return (answer, woken)
        }
        for continuation in woken { continuation.resume() }
        return answer
    }

    // MARK: What a body tells

    func report(_ id: String, _ report: JobTable.Report) {
        let pause = Duration.milliseconds(RPCLimits.progressMillisecondsMin)
        change { state in
            guard let job = state.table.report(id, report, now: .now, pause: pause) else { return }
            events.publish(.jobProgress(job), disk: job.disk)
        }
    }

    func belong(_ id: String, to disk: String) {
        change { state in
            guard let job = state.table.belong(id, to: disk) else { return }
            events.publish(.jobProgress(job), disk: job.disk)
        }
    }

    func isAsked(_ id: String) -> Bool { state.withLock { $0.table.isAsked(id) } }

    /// - Parameter canceller: finished when somebody asks the job to end.
    /// - Returns: whether the job was asked to end before.
    func allowCancelling(_ id: String, _ isAllowed: Bool, _ canceller: AsyncStream<Never>.Continuation?) -> Bool {
        state.withLock { state in
            if isAllowed { state.cancellers[id] = canceller }
            return state.table.allowCancelling(id, isAllowed)
        }
    }

    // MARK: What clients ask for

    /// The youngest jobs, the oldest of them first, without their results.
    package func list() -> [Job] { state.withLock { $0.table.list(most: RPCLimits.jobsListedMax) } }

    /// - Throws: `notFound`.
    package func job(_ id: String) throws(RPCError) -> Job {
        guard let job = state.withLock({ $0.table.job(id) }) else { throw JobTable.unknown(id) }
        return job
    }

    /// Waits until a job's revision is beyond one, or it has ended; a minute at the most.
    ///
    /// - Returns: the job as it is then.
    /// - Throws: `notFound`.
    package func news(of id: String, after revision: UInt64) async throws(RPCError) -> Job {
        _ = try job(id)
        await withTaskGroup(of: Void.self) { race in
            race.addTask { await self.wait(for: id, after: revision) }
            race.addTask { try? await Task.sleep(for: .seconds(RPCLimits.watchSecondsMax)) }
            await race.next()
            race.cancelAll()
        }
        return try job(id)
    }

    private func wait(for id: String, after revision: UInt64) async {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mayGoOn = state.withLock { state in
                    if Task.isCancelled || state.table.hasNews(of: id, after: revision) { return true }
                    state.waiters[id, default: [:]][number] = Waiter(
                        afterRevision: revision,
                        continuation: continuation
                    )
                    return false
                }
                if mayGoOn { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters[id]?.removeValue(forKey: number) }
            waiter?.continuation.resume()
        }
    }

    /// Asks a job to end, where that is safe.
    ///
    /// - Throws: `notFound`, `refused`.
    package func cancel(_ id: String) throws(RPCError) -> Job {
        let result = change { state -> Result<Job, RPCError> in
            do throws(RPCError) {
                let (job, isNews) = try state.table.cancel(id)
                if isNews {
                    state.cancellers.removeValue(forKey: id)?.finish()
                    events.publish(.jobProgress(job), disk: job.disk)
                }
                return .success(job)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
