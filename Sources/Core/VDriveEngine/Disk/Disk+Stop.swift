internal import Glibc
internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel
internal import VDriveStore

/// The end of an attached disk: what it still uploads, what it no longer waits for, and what it notes.
extension Disk {
    /// Call it before whatever takes the disk out of use: an unmount flushes, and with remote durability that waits for
    /// the commit. From now on such a flush is answered also when the remote has been away for 15 seconds, or refuses:
    /// what it asked for is durable on this machine, and `stop` says what is not on the remote.
    package func leave() async {
        isLeaving.store(true, ordering: .relaxed)
        await uploads.leave()
    }

    /// The disk stays in use after all.
    package func stay() async {
        isLeaving.store(false, ordering: .relaxed)
        await uploads.stay()
        await cache.expectUploads()
    }

    /// Ends all uploads, also one that waits for its remote, and with them every sync: only `stop` may follow.
    package func abandonUploads() { haltSource.finish() }

    /// After `leave`, when the disk stays no more: waits for the remote no longer. A writer that has no room without it
    /// gets an error, and so does whoever writes after that.
    package func giveUpRemote() async {
        await uploads.giveUpRemote()
        await cache.giveUpUploads()
    }

    /// Waits for a sync as long as the remote answers; a remote that is away for good must not keep a disk attached.
    ///
    /// Nothing is uploaded any more once this has thrown: only `stop` may follow.
    package func syncUnlessOffline() async throws(DiskError) {
        if isReadOnly { return }
        if await uploads.hasGivenUpRemote, options.store.meter.snapshot().state == .offline {
            haltSource.finish()
            throw remoteIsAway
        }
        let result = await withTaskGroup(of: Result<Void, DiskError>?.self) { group in
            group.addTask {
                do throws(DiskError) { return .success(try await self.uploads.sync()) } catch { return .failure(error) }
            }
            group.addTask {
                var secondsOffline = 0
                while !Task.isCancelled, secondsOffline < EngineLimits.offlineSecondsMax {
                    try? await Task.sleep(for: .seconds(1))
                    let isOffline = self.options.store.meter.snapshot().state == .offline
                    secondsOffline = isOffline ? secondsOffline + 1 : 0
                }
                // The wait for the sync ends with the uploads.
                if !Task.isCancelled { self.haltSource.finish() }
                return nil
            }
            var result: Result<Void, DiskError>?
            while let next = await group.next() {
                if let next { result = next }
                group.cancelAll()
                if next == nil { continue }
            }
            return result
        }
        guard let result else { return }
        do throws(DiskError) { try result.get() } catch {
            throw error.kind == .busy ? remoteIsAway : error
        }
    }

    private var remoteIsAway: DiskError {
        DiskError(
            .retry,
            "The remote is away: what was not uploaded stays in \(options.cacheDirectory) for the next attach."
        )
    }

    /// Metadata may only be closed once nothing of `run` can ask for it.
    private func runEnded() async {
        await withCheckedContinuation { continuation in
            let hasEnded = life.withLock { life in
                if life.isRunning { life.waiters.append(continuation) }
                return !life.isRunning
            }
            if hasEnded { continuation.resume() }
        }
    }

    /// Ends `run`: the last requests are answered, everything is recorded, and committed if that is wished and
    /// possible. FUSE must have ended before.
    ///
    /// - Parameters:
    ///   - commit: uploads what is dirty first. When the remote does not take it, dirty data stays in the cache, and
    ///     the next attach goes on from there.
    ///   - releasing: lets go of the disk when nothing of it is dirty, so that another machine may attach it.
    package func stop(commit: Bool, releasing: Bool = false) async throws(DiskError) {
        var refusal: DiskError?
        if commit, failure.withLock({ $0 }) == nil {
            do throws(DiskError) { try await syncUnlessOffline() } catch { refusal = error }
        }
        dataPlane.ring.close()
        events.finish()
        haltSource.finish()
        await uploads.stop()
        await cache.giveUpUploads()
        await runEnded()
        if commit, !isReadOnly, refusal == nil, let head = await uploads.head {
            await GarbageCollector(bitmap: bitmap, store: options.store.brief, now: { UInt64(time(nil)) })
                .sweep(head: head.epoch)
        }
        do throws(DiskError) {
            try await cache.recordAll()
            try await Faults.at(.stopBeforeRecord, failing: .internal)
            try await noteStop(releasing: releasing && refusal == nil)
            _ = await Faults.passes(.stopAfterRecord)
        } catch {
            refusal = refusal ?? error
        }
        await bitmap.close()
        let threads = threads
        await withCheckedContinuation { continuation in
            threads.submit { continuation.resume() }
        }
        threads.shutdown()
        encoders.shutdown()
        executor.stop()
        if let refusal { throw refusal }
    }

    private func noteStop(releasing: Bool) async throws(DiskError) {
        // What nobody has looked at since an unclean stop is no truer after a clean one.
        let isClean = await cache.isSound
        if isReadOnly { return try await bitmap.noteStop(isClean: isClean, isReleased: nil) }
        let hasTerm = await uploads.hasTerm
        let hasDirty = await cache.hasDirty
        let releases = releasing && hasTerm && !hasDirty && failure.withLock { $0 } == nil
        // Noted first: a machine that believes that it still holds the disk could serve it while another writes.
        try await bitmap.noteStop(isClean: isClean, isReleased: releases)
        guard releases else { return }
        do throws(DiskError) { try await fence.claims.release(await uploads.term) } catch {
            try await bitmap.noteStop(isClean: isClean, isReleased: false)
            throw DiskError(
                error.kind,
                "All is committed, but the remote could not be told that the disk is free; "
                    + "another machine can attach it with --takeover. \(error.message)"
            )
        }
    }
}
