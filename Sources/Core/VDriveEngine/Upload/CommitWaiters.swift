/// Those who wait until what they wrote is committed on the remote: a value, driven by UploadQueueActor.
///
///     add ──▶ waiting ──seal──▶ serving ──commit──▶ answered
///
/// All that wait at a seal share its epoch: that is the group commit of remote durability.
struct CommitWaiters {
    typealias Continuation = CheckedContinuation<Result<Void, DiskError>, Never>

    private struct Waiter {
        var continuation: Continuation
        /// A flush must not fail because the remote is away: ext4 would abort its journal. A sync is told.
        var isPatient: Bool
        /// By which it can be given up; nil for what cannot.
        var ticket: UInt64?
    }

    /// For the next epoch.
    private var waiting: [Waiter] = []
    /// Whose writes the epoch in flight holds.
    private var serving: [Waiter] = []

    /// Whether nobody waits for the next epoch.
    var isEmpty: Bool { waiting.isEmpty }
    /// Whether a sync waits for the epoch in flight, and not flushes alone.
    var someoneAsks: Bool { serving.contains { !$0.isPatient } }
    /// How many wait for the next epoch.
    var count: Int { waiting.count }

    mutating func add(_ continuation: Continuation, isPatient: Bool, ticket: UInt64? = nil) {
        waiting.append(Waiter(continuation: continuation, isPatient: isPatient, ticket: ticket))
    }

    /// One does not wait any longer; nothing happens when it does not wait here.
    mutating func giveUp(_ ticket: UInt64, _ result: Result<Void, DiskError>) {
        let waiter = (serving + waiting).first { $0.ticket == ticket }
        serving.removeAll { $0.ticket == ticket }
        waiting.removeAll { $0.ticket == ticket }
        waiter?.continuation.resume(returning: result)
    }

    /// The next epoch is about to be sealed.
    mutating func beginServing() {
        serving += waiting
        waiting = []
    }

    mutating func finishServing(_ result: Result<Void, DiskError>) {
        let served = serving
        serving = []
        for waiter in served { waiter.continuation.resume(returning: result) }
    }

    mutating func finishAll(_ result: Result<Void, DiskError>) {
        beginServing()
        finishServing(result)
    }

    /// Tells those who want to hear of trouble; or, with the other result, lets the patient ones go.
    mutating func finish(patient: Bool, _ result: Result<Void, DiskError>) {
        let chosen = (serving + waiting).filter { $0.isPatient == patient }
        serving.removeAll { $0.isPatient == patient }
        waiting.removeAll { $0.isPatient == patient }
        for waiter in chosen { waiter.continuation.resume(returning: result) }
    }
}
