internal import Glibc
internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The cache's filesystem when it is not well.
///
///     full, by others   writers wait, reads go around the cache; it mends itself     warning
///     takes no fills    reads go around the cache; tried again every second          warning
///     fails a write, an fdatasync, an LMDB commit, or turns read-only                broken
///
/// A broken cache stays so until the next attach. After a failed fdatasync the kernel may have dropped the pages, and a
/// later one would succeed falsely: nothing is recorded any more, nothing uploaded, writes and flushes fail, and the
/// stop is no clean one. Reads go on.
extension CacheActor {
    /// Below this the filesystem counts as full, in bytes: ext4 keeps up to 16 MiB back even from root.
    private static let fullBelowBytes: UInt64 = 24 << 20

    static func isNoSpace(_ error: Errno) -> Bool { error == .noSpace || error == .diskQuotaExceeded }

    /// What a failed change of the cache means to the request that asked for it.
    ///
    /// - Parameter act: completes "The cache at /x …".
    /// - Returns: `outOfSpace` for a wait, anything else for an error.
    func writeTrouble(_ error: Errno, _ act: String) -> DiskError {
        let what = "The cache at \(plane.cache.directory) \(act): \(error)."
        if Self.isNoSpace(error) { return DiskError(.outOfSpace, what) }
        if error == .noMemory { return DiskError(.retry, what) }
        return breakDown(what)
    }

    /// Takes the cache out of use for writing, once and for all.
    ///
    /// - Returns: why it was first taken out of use.
    @discardableResult
    func breakDown(_ what: String) -> DiskError {
        if let broken { return broken }
        let error = DiskError(
            .internal,
            "\(what) What was written since the last flush may be lost; nothing more is written or uploaded. "
                + "Look at that disk, then detach and attach."
        )
        broken = error
        plane.writeErrno.store(EIO, ordering: .sequentiallyConsistent)
        events.yield(.broken(error))
        wakeRoomWaiters()
        return error
    }

    /// A fill failed: reads go around the cache for a while.
    func noteFillTrouble(_ error: Errno) {
        noFillBefore = .now + EngineLimits.fillRetry
        if Self.isNoSpace(error) {
            noteFull()
        } else {
            warnings.raise(
                .cacheUnwritable,
                "The cache at \(plane.cache.directory) takes no data (\(error)); reads go around it."
            )
        }
    }

    private func noteFull() {
        lastNoSpace = .now
        warnings.raise(
            .cacheFull,
            "The filesystem of the cache at \(plane.cache.directory) is full, and not by the cache alone: "
                + "writers wait until somebody frees space there."
        )
    }

    /// Something was written to the cache again after trouble.
    func noteFilled() async {
        guard noFillBefore != nil else { return }
        noFillBefore = nil
        warnings.clear(.cacheUnwritable)
        await lookAtSpace()
    }

    /// Raises or ends the warning of a full filesystem.
    func lookAtSpace() async {
        let directory = plane.cache.directory
        let space = try? await onDisk { () throws(Errno) in try FilesystemSpace.of(directory) }
        guard let space else { return }
        if space.freeBytes < Self.fullBelowBytes {
            noteFull()
        } else if lastNoSpace.map({ $0 + EngineLimits.fillRetry * 2 < .now }) ?? true {
            warnings.clear(.cacheFull)
        }
    }

    /// Raises or ends the warning that writers wait for uploads that a person has paused.
    func lookAtPause(isPaused: Bool) {
        if isPaused, let lastRoomWait, lastRoomWait + EngineLimits.fillRetry > .now {
            warnings.raise(
                .pausedAndFull,
                "The cache is full of changes and the uploads are paused: writers wait until «vdrivectl upload resume» "
                    + "lets these go up."
            )
        } else {
            warnings.clear(.pausedAndFull)
        }
    }

    /// The cache's filesystem is full although the limit is not reached: somebody else filled it.
    ///
    /// - Throws: when no upload can help any more.
    func waitForSpace(pages: Int) async throws(DiskError) {
        let freed = await evict(pages: pages)
        if freed == 0 {
            try checkUploads()
            noteFull()
            events.yield(.wantsEpoch)
            await pause(EngineLimits.roomPoll)
        }
    }

    /// LMDB's filesystem is full: what waits for a commit waits on.
    func waitForMetadataSpace(_ error: DiskError) async {
        warnings.raise(.metadataFull, "\(error.message) Flushes wait until somebody frees space there.")
        // Where both are on one filesystem this helps, if LMDB finds the pages to forget by.
        _ = await evict(pages: Int(limitBytes) / DiskGeometry.pageBytes / EngineLimits.evictionShare)
        await pause(EngineLimits.metadataRetry)
    }

    /// Checks a chunk that an unclean stop left for a write, which waits out what passes.
    ///
    /// - Returns: false after a wait: the chunk is to be looked at anew.
    func verifyForWriter(_ chunk: ChunkIndex) async throws(DiskError) -> Bool {
        do throws(DiskError) {
            try await verify(chunk)
            return true
        } catch {
            switch error.kind {
            case .outOfSpace: await waitForMetadataSpace(error)
            // The map's part that says what the chunk should be is on a remote that is away.
            case .retry: await pause(EngineLimits.fillRetry)
            default: throw error
            }
            return false
        }
    }

    /// Drops a clean chunk whose bytes cannot be read, so that it is fetched again.
    ///
    /// - Throws: when the chunk is dirty: its bytes are nowhere else.
    func dropUnreadable(_ chunk: ChunkIndex, _ error: Errno) async throws(DiskError) {
        await lock(chunk)
        defer { unlock(chunk) }
        let word = plane.table.load(chunk)
        guard word.isResident else { return }
        guard !word.isDirty else {
            throw DiskError(.retry, "The cache at \(plane.cache.directory) could not be read: \(error).")
        }
        logger.warning(
            "dropped a cached chunk that cannot be read; it is fetched again",
            metadata: ["chunk": "\(chunk)", "error": "\(error)"]
        )
        await lockRecording()
        defer { recording.release() }
        await close(chunk)
        do throws(DiskError) {
            try await forgetAndPunch([Leaving(chunk: chunk, pages: nil)])
        } catch {
            open(chunk)
            throw error
        }
    }
}
