internal import Glibc
internal import Linux
internal import Logging
internal import Synchronization
package import VDriveDataPlane
package import VDriveModel
internal import VDriveStore

/// One attached disk: the actors, put together, and what the control plane asks of them.
///
/// Order of life: `attach`, `run` (in a task of the caller's), then FUSE on `dataPlane`; at the end FUSE goes first,
/// then `stop`, which ends `run`.
package final class Disk: Sendable {
    package let id: DiskID
    package let dataPlane: DataPlane
    package var geometry: DiskGeometry { dataPlane.geometry }
    /// Bytes of the disk that hold data on the remote, in whole chunks.
    package var allocatedBytes: UInt64 { dataPlane.counters.allocatedBytes.load(ordering: .relaxed) }
    /// The hard limit of the cache, as it was attached with.
    package var cacheBytes: UInt64 { options.limits.hardBytes }

    /// Whether the disk was attached to be read alone.
    package var isReadOnly: Bool { options.isReadOnly }

    let options: DiskOptions
    let bitmap: BitmapActor
    let remote: RemoteActor
    let cache: CacheActor
    let uploads: UploadQueueActor
    let fence: Fence
    let threads: BlockingThreads
    let encoders: BlockingThreads
    let executor: ThreadExecutor
    let events: DiskEvents
    private let halt: AsyncStream<Never>
    let haltSource: AsyncStream<Never>.Continuation
    private let settings: LiveSettings
    private let meter: ActivityMeter
    /// Tells the syncs that wait from each other.
    let nextTicket = Atomic<UInt64>(0)
    /// Whether the disk is being taken out of use.
    let isLeaving = Atomic(false)
    let failure = Mutex<DiskError?>(nil)
    private let damaged = Mutex(DamagedObjects())
    private let warnings: DiskWarnings
    let life = Mutex(Life())

    /// Whether `run` is under way, and who waits for its end.
    struct Life {
        var isRunning = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    init(
        options: DiskOptions,
        plane: DataPlane,
        bitmap: BitmapActor,
        remote: RemoteActor,
        cache: CacheActor,
        uploads: UploadQueueActor,
        fence: Fence,
        threads: BlockingThreads,
        encoders: BlockingThreads,
        executor: ThreadExecutor,
        warnings: DiskWarnings,
        events: DiskEvents
    ) {
        self.id = bitmap.id
        self.options = options
        self.dataPlane = plane
        self.bitmap = bitmap
        self.remote = remote
        self.cache = cache
        self.uploads = uploads
        self.fence = fence
        self.threads = threads
        self.encoders = encoders
        self.executor = executor
        self.warnings = warnings
        self.events = events
        settings = LiveSettings(durability: options.durability, uploadInterval: options.uploadInterval)
        meter = ActivityMeter(counters: plane.counters, store: options.store.meter)
        (halt, haltSource) = AsyncStream.makeStream(of: Never.self)
    }

    // MARK: Running

    /// Serves requests and uploads until `stop`.
    package func run() async {
        life.withLock { $0.isRunning = true }
        defer {
            let waiters = life.withLock { life in
                life.isRunning = false
                return life.waiters
            }
            for waiter in waiters { waiter.resume() }
        }
        let server = RequestServer(
            plane: dataPlane,
            cache: cache,
            uploads: uploads,
            settings: settings,
            threads: threads,
            logger: options.logger
        )
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await server.run() }
            group.addTask { await self.runUploads() }
            group.addTask { await self.serveEvents() }
            group.addTask { await self.keepTime() }
            group.addTask { await self.keepLooking() }
            group.addTask { await self.keepClean() }
            // Requests, uploads and events end by `stop`; those who keep time with them.
            for _ in 0..<3 { await group.next() }
            group.cancelAll()
        }
    }

    /// Asks for an epoch when it is time, and gives a remote up that is away for too long when the disk is to go.
    private func keepTime() async {
        var sinceEpoch = Duration.zero
        var offline = Duration.zero
        while !Task.isCancelled {
            let interval = settings.uploadInterval
            let step = min(max(interval - sinceEpoch, .zero), EngineLimits.timekeeperStep)
            try? await Task.sleep(for: step)
            sinceEpoch += step
            meter.sample()
            if sinceEpoch >= interval {
                sinceEpoch = .zero
                await uploads.wake()
            }
            // What changes with time alone, and nobody else would tell.
            options.store.meter.tellChange()
            await cache.tellPressure()
            let isOffline = isLeaving.load(ordering: .relaxed) && options.store.meter.snapshot().state == .offline
            offline = isOffline ? offline + step : .zero
            if offline >= .seconds(EngineLimits.offlineSecondsMax) { await uploads.giveUpRemote() }
        }
    }

    /// Apart from the epochs: a look waits for the remote, and the uploads may be paused.
    private func keepLooking() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: EngineLimits.timekeeperStep)
            await uploads.lookWhenDue()
        }
    }

    /// Nobody tells when others fill the cache's filesystem, or hits fill the cache.
    private func keepClean() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: EngineLimits.cleaningStep)
            await cache.clean()
        }
    }

    private func runUploads() async {
        // A read-only disk has nothing to upload, and must not even look like a writer.
        if isReadOnly { for await _ in halt {}; return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.uploads.run() }
            // Uploads try for ever: only a cancellation ends a try that the remote does not answer.
            group.addTask { for await _ in self.halt {} }
            await group.next()
            group.cancelAll()
        }
        if let error = await uploads.failure { fail(error) }
    }

    /// Reads go on; what is dirty stays. The first failure counts.
    private func fail(_ error: DiskError) {
        let isFirst = failure.withLock { failure in
            defer { failure = failure ?? error }
            return failure == nil
        }
        guard isFirst else { return }
        dataPlane.writeErrno.store(error.kind == .internal ? EIO : EROFS, ordering: .sequentiallyConsistent)
        options.report(.failed(error))
        options.logger.critical(
            "disk is read-only now",
            metadata: ["disk": "\(options.name)", "reason": "\(error)"]
        )
    }

    private func serveEvents() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.cache.verifyInBackground() }
            group.addTask { await self.keepPinned() }
            group.addTask { await self.serve(self.events.wishes) }
            await serve(events.others)
            group.cancelAll()
        }
    }

    private func serve(_ events: AsyncStream<DiskEvent>) async {
        await withDiscardingTaskGroup { group in
            for await event in events {
                switch event {
                case .wantsEpoch: await uploads.wake()
                case .wantsCleaning: group.addTask { await self.cache.clean() }
                case .readAhead(let piece, let transfer):
                    group.addTask { await self.cache.fetchAhead(piece, transfer: transfer) }
                case .objectLost(let name): noteLost(name)
                case .broken(let error):
                    fail(error)
                    await uploads.breakDown(error)
                }
            }
            group.cancelAll()
        }
    }

    private func noteLost(_ name: String) {
        let total = damaged.withLock { damaged in damaged.note(name) ? damaged.total : nil }
        if let total { options.report(.objectLost(name: name, total: total)) }
    }

    // MARK: What people ask for

    /// Changes when flushes are answered, from now on. Flushes that wait for the remote are answered by a change to
    /// local.
    package func setDurability(_ durability: Durability) async {
        settings.durability = durability
        if durability == .local { await uploads.releaseFlushes() }
    }

    /// Changes how long dirty data stays on this machine alone; counts within a second.
    package func setUploadInterval(_ interval: Duration) { settings.uploadInterval = interval }

    /// Changes what leaves the cache first, from now on. What is cached stays.
    package func setCachePolicy(_ policy: CachePolicy) async { await cache.use(policy) }

    /// Drops cached data that is clean and not pinned.
    ///
    /// - Parameters:
    ///   - wait: uploads what is dirty first, so that it is dropped too.
    ///   - progress: gets the bytes done so far, and of how many, one call at a time.
    /// - Returns: bytes given back.
    /// - Throws: `busy` when cancelled; what `sync` throws; when nothing can be recorded. What has left is gone.
    package func evict(
        wait: Bool,
        progress: @Sendable (UInt64, UInt64) async -> Void = { _, _ in }
    ) async throws(DiskError) -> UInt64 {
        if wait { try await sync() }
        return try await cache.evictAll(progress: progress)
    }

    /// What the disk is doing, from memory: nothing of it waits.
    package func activity() -> DiskActivity { meter.activity() }

    /// Looks at the cache's filesystem first, so that its warnings are those of this moment.
    package func status() async -> DiskSnapshot {
        await cache.lookAtSpace()
        let isPaused = await uploads.hold.isPaused
        await cache.lookAtPause(isPaused: isPaused)
        return await snapshot()
    }

    /// The status as it is known, from memory: it waits for no disk and no remote.
    package func snapshot() async -> DiskSnapshot {
        let meter = options.store.meter.snapshot()
        let isPaused = await uploads.hold.isPaused
        let broken = await cache.broken
        let failure = failure.withLock { $0 } ?? broken
        let state: DiskSnapshot.State =
            switch failure?.kind {
            case nil: .attached
            case .fenced: .fenced
            case .diverged: .diverged
            default: .failed
            }
        let dirty = max(0, dataPlane.counters.dirtyPages.load(ordering: .relaxed)) * DiskGeometry.pageBytes
        let uploadError = await uploads.lastError
        return DiskSnapshot(
            state: state,
            isReadOnly: isReadOnly,
            term: await uploads.term,
            epoch: await uploads.head?.epoch ?? Epoch(0),
            limits: await cache.limits,
            effectiveLimitBytes: await cache.limitBytes,
            usedBytes: await cache.usedBytes(),
            pinnedBytes: await cache.pinnedBytes,
            dirtyBytes: UInt64(dirty),
            pendingBytes: await uploads.pendingBytes,
            isPaused: isPaused,
            allocatedBytes: dataPlane.counters.allocatedBytes.load(ordering: .relaxed),
            remoteState: meter.state.rawValue,
            lastError: (failure ?? uploadError)?.message,
            damagedObjects: damaged.withLock { $0 },
            warnings: warnings.sentences
        )
    }
}
