internal import Logging

/// What syncs and flushes wait for, and what ends their waits.
extension UploadQueueActor {
    /// Returns when everything that was written before is committed on the remote.
    ///
    /// - Throws: when the remote refuses (the upload goes on trying), or the disk is detached meanwhile.
    ///
    /// - Parameter ticket: by which another task can give the wait up; nil for a wait that no cancellation ends.
    func sync(_ ticket: UInt64? = nil) async throws(DiskError) {
        if isStopping { throw lastError ?? DiskError(.busy, "The disk is being detached.") }
        // Whoever cancels this task calls `giveUp` afterwards: it finds the wait, or this sees the cancellation.
        if ticket != nil, Task.isCancelled { throw Self.givenUp }
        beginWish()
        defer { endWish() }
        let result = await withCheckedContinuation { continuation in
            waiters.add(continuation, isPatient: false, ticket: ticket)
            wake()
        }
        try result.get()
    }

    /// Ends the wait of a sync; its upload goes on.
    func giveUp(_ ticket: UInt64) { waiters.giveUp(ticket, .failure(Self.givenUp)) }

    private static let givenUp = DiskError(.busy, "The wait was given up; the upload goes on.")

    /// What a flush of a disk with remote durability waits for, after the local flush: everything that was written
    /// before is committed on the remote. Flushes that wait together share an epoch.
    ///
    /// It never fails because the remote is away or refuses. While the disk is being taken out of use it returns all
    /// the same once `giveUpRemote` was called: the data is durable on this machine.
    ///
    /// - Throws: when nothing more can be committed: the disk is fenced, broken, or stopped.
    func awaitCommit(_ settings: LiveSettings) async throws(DiskError) {
        // Whatever was written before is still dirty here, or committed.
        if await !cache.hasUncommitted { return }
        // From here to the wait nothing else runs: who changes the setting lets go of all that wait by then.
        if settings.durability == .local || hasGivenUpRemote { return }
        if isStopping { throw finalError }
        let result = await withCheckedContinuation { continuation in
            waiters.add(continuation, isPatient: true)
            wake()
        }
        try result.get()
    }

    /// The disk is about to be taken out of use, which flushes: from now on a remote that refuses is not waited for.
    func leave() {
        hold.isLeaving = true
        // Somebody may still refuse: what was not held back is not hurried either.
        if hold.isPaused { goOn() }
    }

    /// It stays in use after all.
    func stay() {
        hold.isLeaving = false
        hasGivenUpRemote = false
    }

    /// Answers the flushes that wait for the remote, and those to come until `stay`.
    func giveUpRemote() {
        if !hasGivenUpRemote { logger.warning("flushes no longer wait for the remote; the data is on this machine") }
        hasGivenUpRemote = true
        waiters.finish(patient: true, .success(()))
    }

    /// The disk's durability is local now.
    func releaseFlushes() {
        waiters.finish(patient: true, .success(()))
    }
}
