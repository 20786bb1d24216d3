internal import Linux
internal import Logging
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMeasure
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

/// Epochs: when to seal, and the way of a sealed epoch to the remote (ordering rule 6).
///
/// ## Notes on the design
/// One epoch is in flight. Its chunks are captured, completed from their base, compressed and put in parallel; then, in
/// order: map nodes (at a checkpoint), the commit object, the look for a higher term, LMDB, the dirty flags.
/// A step that fails is tried again for ever, with the same bytes: what was captured exists only here. Only the end of
/// the daemon gives an epoch up; its pages are still dirty then, and the next start seals them anew.
/// While a person has paused the uploads nothing is sealed, and an epoch in flight stands still between two chunks
/// (`UploadHold`); the look for a higher term goes on.
actor UploadQueueActor {
    let plane: DataPlane
    let cache: CacheActor
    let remote: RemoteActor
    private let bitmap: BitmapActor
    private let fence: Fence
    private let garbage: GarbageCollector
    let encoders: BlockingThreads
    let logger: Logger
    private let now: @Sendable () -> UInt64
    /// How long a lost object may hold up everything else.
    let patience: Duration
    /// What an attach without its remote has left to do: claiming the term.
    typealias Establisher = @Sendable () async throws(DiskError) -> Superblock
    private let establish: Establisher?
    /// Whether the term is this attachment's own; until then nothing is sealed.
    private(set) var hasTerm: Bool

    private(set) var superblock: Superblock
    var waiters = CommitWaiters()
    var hold = UploadHold()
    /// The epoch in flight.
    var progress: EpochProgress?
    /// Flushes wait for the remote no more: it has been away for too long while the disk is being taken out of use.
    var hasGivenUpRemote = false
    private var sleeper: CheckedContinuation<Void, Never>?
    private var isWoken = false
    /// When somebody last looked for a higher term, in seconds since 1970.
    var lastLook: UInt64
    private(set) var isStopping = false
    private var isRunning = false
    private var stopWaiters: [CheckedContinuation<Void, Never>] = []
    private(set) var lastError: DiskError?
    /// Why nothing is uploaded any more; only another attach helps.
    private(set) var failure: DiskError?
    /// Bytes of sealed chunks that are not on the remote yet, raw.
    private(set) var pendingBytes: UInt64 = 0
    /// Bytes of chunks that were put since the attach, raw.
    private var uploadedBytes: UInt64 = 0
    private let tell: DiskReporter

    init(
        plane: DataPlane,
        cache: CacheActor,
        remote: RemoteActor,
        bitmap: BitmapActor,
        fence: Fence,
        garbage: GarbageCollector,
        encoders: BlockingThreads,
        superblock: Superblock,
        establish: Establisher?,
        patience: Duration,
        logger: Logger,
        tell: @escaping DiskReporter,
        now: @escaping @Sendable () -> UInt64
    ) {
        self.plane = plane
        self.cache = cache
        self.remote = remote
        self.bitmap = bitmap
        self.fence = fence
        self.garbage = garbage
        self.encoders = encoders
        self.superblock = superblock
        self.establish = establish
        hasTerm = establish == nil
        self.patience = patience
        self.logger = logger
        self.tell = tell
        self.now = now
        lastLook = now()
    }

    var head: ObjectVersion? { superblock.head }
    var term: Term { superblock.term }
    /// Both in one moment: a chunk that is put moves from one to the other.
    var tally: (done: UInt64, pending: UInt64) { (uploadedBytes, pendingBytes) }

    // MARK: Triggers

    /// Seals and uploads until `stop`; one task of the disk's group runs it.
    func run() async {
        isRunning = true
        await establishTerm()
        while hasTerm, !Task.isCancelled, !isStopping {
            await sleep()
            await uploadOnce()
            // After the answer to those who waited, and never in the way of those who wait now.
            if let head = superblock.head, waiters.isEmpty, !hold.isHeld {
                await garbage.collect(keepingCommitBefore: head.epoch) { await !self.waiters.isEmpty }
            }
        }
        isRunning = false
        isStopping = true
        for waiter in stopWaiters { waiter.resume() }
        stopWaiters = []
        waiters.finishAll(.failure(finalError))
    }

    /// What ends all waiting for a commit.
    var finalError: DiskError {
        failure ?? DiskError(.busy, "The disk is being detached.")
    }

    /// Tries until the remote is back, or says that another machine has the disk.
    private func establishTerm() async {
        guard let establish else { return }
        lastError = DiskError(
            .retry,
            "The remote was away at the start: what is on this machine is served, and uploads wait until it is back."
        )
        while !isStopping, !Task.isCancelled {
            do throws(DiskError) {
                superblock = try await establish()
                hasTerm = true
                lastError = nil
                logger.notice("the remote is back", metadata: ["term": "\(superblock.term)"])
                return
            } catch {
                report(error)
                guard ![.fenced, .diverged, .refused, .internal].contains(error.kind) else { return fail(error) }
                try? await Task.sleep(for: EngineLimits.refusedRetry)
            }
        }
    }

    private func fail(_ error: DiskError) {
        lastError = error
        failure = error
        isStopping = true
        hold.release()
    }

    private func uploadOnce() async {
        // Who waits for a commit waits for the end of the pause, too.
        if hold.isHeld, !isStopping { return await lookWhenDue() }
        waiters.beginServing()
        if isStopping { return waiters.finishAll(.failure(finalError)) }
        var result = Result<Void, DiskError>.success(())
        do throws(DiskError) {
            if let broken = await cache.broken { throw broken }
            if let sealed = await cache.seal() {
                try await upload(sealed)
                lastError = nil
                lastLook = now()
            } else {
                try await lookWhenIdle(isAsked: waiters.someoneAsks)
            }
        } catch {
            result = .failure(error)
            if error.kind == .busy { isStopping = true } else { fail(error) }
        }
        progress = nil
        waiters.finishServing(result)
    }

    /// The look of a disk that commits nothing: nobody writes to it, or its uploads are paused, perhaps in the middle
    /// of an epoch. Call it as often as you like.
    func lookWhenDue() async {
        guard hasTerm, !isStopping, progress == nil || hold.isHeld else { return }
        do throws(DiskError) { try await lookWhenIdle(isAsked: false) } catch {
            fail(error)
            wake()
        }
    }

    /// Who writes nothing never commits, and would go on serving what another machine has replaced.
    private func lookWhenIdle(isAsked: Bool) async throws(DiskError) {
        guard isAsked || now() >= lastLook + EngineLimits.idleLookSeconds else { return }
        lastLook = now()
        // A remote that is away says nothing about terms, and nobody should wait for it.
        if remote.store.meter.snapshot().state == .offline { return }
        if let taken = try? await fence.higherTerm(than: superblock.term) { throw takenOver(taken) }
    }

    private func takenOver(_ term: Term) -> DiskError {
        DiskError(
            .fenced,
            "Another machine has taken this disk over with term \(term); "
                + "nothing more is written, dirty data is kept."
        )
    }

    private func sleep() async {
        if isWoken || !waiters.isEmpty && !hold.isHeld {
            isWoken = false
            return
        }
        await withCheckedContinuation { sleeper = $0 }
        isWoken = false
    }

    /// Asks for an epoch soon.
    func wake() {
        isWoken = true
        sleeper?.resume()
        sleeper = nil
    }

    /// The cache has broken down: ends `run`, after the step in flight.
    func breakDown(_ error: DiskError) {
        guard failure == nil else { return }
        fail(error)
        wake()
        waiters.finishAll(.failure(error))
    }

    /// Ends `run` and waits for its end: after the epoch in flight, or at once when the task is cancelled.
    func stop() async {
        isStopping = true
        hold.release()
        wake()
        if isRunning { await withCheckedContinuation { stopWaiters.append($0) } }
    }

    // MARK: An epoch

    private func upload(_ sealed: SealedEpoch) async throws(DiskError) {
        let start = MonotonicTime.nanoseconds
        let version = ObjectVersion(term: superblock.term, epoch: sealed.epoch)
        pendingBytes = UInt64(sealed.chunks.count * plane.geometry.chunkBytes)
        progress = EpochProgress(sealed)
        _ = await Faults.passes(.sealAfterIncrement)
        let uploaded = try await putChunks(sealed.chunks, version)
        try await untilGoing()
        progress?.stage = .committing
        try await commit(uploaded, at: version)
        pendingBytes = 0
        plane.counters.noteCommit(since: start)
        tell(
            .committed(
                version: version,
                chunks: UInt64(sealed.chunks.count),
                bytes: UInt64(sealed.chunks.count * plane.geometry.chunkBytes)
            )
        )
        logger.debug("epoch committed", metadata: ["epoch": "\(sealed.epoch)", "chunks": "\(sealed.chunks.count)"])
    }

    private func putChunks(_ chunks: [ChunkIndex], _ version: ObjectVersion) async throws(DiskError) -> [Uploaded] {
        progress?.stage = .uploading
        let results = await withTaskGroup(of: Result<Uploaded, DiskError>.self) { group in
            var results: [Result<Uploaded, DiskError>] = []
            var next = chunks.makeIterator()
            for _ in 0..<EngineLimits.parallelUploads {
                if let chunk = next.next() { group.addTask { await self.putChunk(chunk, version) } }
            }
            while let result = await group.next() {
                results.append(result)
                pendingBytes -= min(pendingBytes, UInt64(plane.geometry.chunkBytes))
                if case .failure = result { continue }
                uploadedBytes += UInt64(plane.geometry.chunkBytes)
                if let chunk = next.next() { group.addTask { await self.putChunk(chunk, version) } }
            }
            return results
        }
        var uploaded: [Uploaded] = []
        for result in results { uploaded.append(try result.get()) }
        return uploaded.sorted { $0.chunk < $1.chunk }
    }

    private func commit(_ uploaded: [Uploaded], at version: ObjectVersion) async throws(DiskError) {
        let entries = uploaded.map { CommitEntry(chunk: $0.chunk, entry: $0.entry) }
        var allocated = await bitmap.allocatedChunks
        for chunk in uploaded {
            precondition(chunk.entry == nil || chunk.receipt != nil, "a commit names only what was uploaded")
            if chunk.entry != nil, chunk.replaced == nil { allocated += 1 }
            if chunk.entry == nil, chunk.replaced != nil { allocated -= 1 }
        }
        var garbage = uploaded.compactMap { chunk in
            chunk.keepsReplaced ? nil : chunk.replaced.map { ObjectName.chunk(chunk.chunk, version: $0.version) }
        }
        var checkpoint: MapState.CheckpointNodes?
        if await bitmap.isCheckpointDue {
            let nodes = try await persist { () async throws(DiskError) in
                try await self.remote.checkpointNodes(at: version, with: entries)
            }
            for node in nodes.nodes {
                let bytes = node.encode(disk: remote.id)
                _ = try await persist { () async throws(DiskError) in
                    try await Faults.at(.mapBeforeNode)
                    _ = try await self.remote.put(node.name, bytes)
                    try await Faults.at(.mapAfterNode)
                }
            }
            garbage += nodes.replaced.map(\.name)
            garbage += try await bitmap.knownCommits().map(\.name)
            checkpoint = nodes
        }
        let record = CommitRecord(
            version: version,
            parent: superblock.head,
            diskBytes: plane.geometry.diskBytes,
            allocatedChunks: allocated,
            checkpoint: checkpoint?.checkpoint ?? fence.checkpoint.current,
            createdAt: now(),
            entries: entries
        )
        try await publish(record, checkpoint, garbage)
    }

    /// Commit object, look, LMDB, flags.
    private func publish(
        _ record: CommitRecord,
        _ checkpoint: MapState.CheckpointNodes?,
        _ garbage: [ObjectName]
    ) async throws(DiskError) {
        let bytes = record.encode(disk: remote.id)
        try await persist { () async throws(DiskError) in
            try await Faults.at(.commitBeforeObject)
            _ = try await self.remote.put(record.name, bytes)
            try await Faults.at(.commitAfterObject)
            try await LatePuts.deliver(to: self.remote)
        }
        let taken = try await persist { () async throws(DiskError) in
            try await self.fence.higherTerm(than: record.version.term)
        }
        if let taken {
            throw takenOver(taken)
        }
        var next = superblock
        next.head = record.version
        let batch = try await bitmap.prepare(record, checkpoint: checkpoint, garbage: garbage, superblock: next)
        let finished = checkpoint
        try await persist { () async throws(DiskError) in
            try await Faults.at(.commitAfterLook)
            try await self.cache.finishEpoch(record, checkpoint: finished, batch: batch)
        }
        superblock = next
        fence.checkpoint.set(record.checkpoint)
        if await Faults.passes(.commitBeforeHint) { await fence.hint(record.version) }
    }

    // MARK: Trouble

    /// Tries a step until it succeeds: remote trouble is never data trouble. Those who wait for a sync are told at the
    /// first failure; what makes trying useless (fenced, an internal error) is thrown.
    ///
    /// - Parameter chunk: whose step it is, for those who look at the queue.
    nonisolated func persist<Value: Sendable>(
        of chunk: ChunkIndex? = nil,
        _ step: @Sendable () async throws(DiskError) -> Value
    ) async throws(DiskError) -> Value {
        while true {
            // What was written may be lost: none of it may become the disk's state.
            if let broken = await cache.broken { throw broken }
            do throws(DiskError) {
                return try await step()
            } catch {
                if error.kind == .internal || error.kind == .fenced { throw error }
                if Task.isCancelled { throw DiskError(.busy, "The disk is being detached.") }
                await report(error)
                if let chunk { await noteRetry(of: chunk) }
                try? await Task.sleep(for: EngineLimits.refusedRetry)
                if Task.isCancelled { throw DiskError(.busy, "The disk is being detached.") }
            }
        }
    }

    private func report(_ error: DiskError) {
        if lastError?.message != error.message {
            logger.warning("upload goes on trying", metadata: ["error": "\(error)"])
        }
        lastError = error
        waiters.finish(patient: false, .failure(error))
        if hold.isLeaving { giveUpRemote() }
    }
}
