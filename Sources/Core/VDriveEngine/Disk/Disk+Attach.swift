internal import Glibc
internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

extension Disk {
    /// Claims a term, takes the local state up, and is ready to `run`. A read-only disk claims none.
    ///
    /// When the remote is away and this state directory still holds the disk, it is served from what is here, and the
    /// term is claimed when the remote is back.
    ///
    /// - Throws: `DiskError`; then nothing of it is left running.
    package static func attach(_ options: DiskOptions) async throws(DiskError) -> Disk {
        try await open(options, options.isReadOnly ? .readsRemote : .waitsForRemote)
    }

    /// Opens what is on this machine, to be read: the last commit that it knows, and its changes since. No term is
    /// claimed, nothing is uploaded, and writes are refused.
    ///
    /// - Throws: `DiskError`; then nothing of it is left running.
    package static func openLocal(_ options: DiskOptions) async throws(DiskError) -> Disk {
        try await open(options, .readsLocal)
    }

    /// How a disk is opened that has claimed no term yet.
    private enum Mode {
        case online
        case waitsForRemote
        /// What is on this machine, without its remote.
        case readsLocal
        /// What is on the remote, without a term.
        case readsRemote
    }

    private struct Workers {
        let threads: BlockingThreads
        let encoders: BlockingThreads
        let executor: ThreadExecutor
    }

    private static func open(_ options: DiskOptions, _ mode: Mode) async throws(DiskError) -> Disk {
        let threads = BlockingThreads(name: "vdrive-cache", count: EngineLimits.cacheThreads)
        let encoders = BlockingThreads(name: "vdrive-encode", count: EngineLimits.encoderThreads)
        let executor = ThreadExecutor(name: "vdrive-lmdb")
        let workers = Workers(threads: threads, encoders: encoders, executor: executor)
        var bitmap: BitmapActor?
        do throws(DiskError) {
            let (descriptor, isOnline) = try await describe(options, mode, threads)
            guard options.goesOn() else { throw DiskError(.busy, "The attach was given up before it began.") }
            try await makeFolders(options, threads)
            let opened = BitmapActor(executor: executor, id: descriptor.disk, geometry: descriptor.geometry)
            bitmap = opened
            let fence = Fence(store: options.store, descriptor: descriptor, logger: options.logger)
            let attachment = Attachment(options: options, descriptor: descriptor, fence: fence, bitmap: opened)
            if mode == .readsRemote {
                return try await assemble(attachment, try await attachment.runReadOnly(), mode, workers)
            }
            let outcome =
                isOnline
                ? try await attachment.run() : try await attachment.runOffline(isMounted: mode == .waitsForRemote)
            return try await assemble(attachment, outcome, isOnline ? .online : mode, workers)
        } catch {
            await bitmap?.close()
            threads.shutdown()
            encoders.shutdown()
            executor.stop()
            throw error
        }
    }

    /// The disk's descriptor: the remote's, or what was noted of it at the last attach.
    private static func describe(
        _ options: DiskOptions,
        _ mode: Mode,
        _ threads: BlockingThreads
    ) async throws(DiskError) -> (DiskDescriptor, isOnline: Bool) {
        let trouble: DiskError
        do throws(DiskError) {
            if mode != .readsLocal { return (try await DiskFormatter.open(store: options.store), true) }
            trouble = DiskError(.notFound, "This machine has no state of disk \(options.name).")
        } catch {
            guard error.kind == .retry, mode != .readsRemote else { throw error }
            trouble = error
        }
        let known = await threads.run { () -> DiskDescriptor? in
            guard Directory.exists("\(options.stateDirectory)/\(MetadataStore.fileNames[0])"),
                let store = try? MetadataStore(directory: options.stateDirectory)
            else { return nil }
            defer { store.close() }
            return try? store.descriptor()
        }
        guard let known else { throw trouble }
        return (known, false)
    }

    private static func outbox(_ options: DiskOptions) -> String {
        "\(options.cacheDirectory)/\(LocalDisk.outbox)"
    }

    private static func makeFolders(_ options: DiskOptions, _ threads: BlockingThreads) async throws(DiskError) {
        do throws(Errno) {
            try await threads.run { () throws(Errno) in
                for folder in [options.stateDirectory, options.cacheDirectory] where Directory.exists(folder) {
                    if try FilesystemSpace.of(folder).isReadOnly { throw .readOnlyFileSystem }
                }
                try Directory.createAll(options.stateDirectory)
                try Directory.createAll(outbox(options))
            }
        } catch .readOnlyFileSystem {
            throw DiskError(
                .configuration,
                "The cache directory \(options.cacheDirectory) or the state directory \(options.stateDirectory) is on "
                    + "a read-only filesystem; nothing was changed. Mount it writable, then attach."
            )
        } catch {
            throw DiskError(.configuration, "The folders of disk \(options.name) cannot be made: \(error).")
        }
    }

    private static func dataPlane(
        _ options: DiskOptions,
        _ geometry: DiskGeometry,
        _ epoch: Epoch
    ) throws(DiskError) -> DataPlane {
        do throws(Errno) {
            return try DataPlane(geometry: geometry, cacheDirectory: options.cacheDirectory, epoch: epoch)
        } catch {
            throw DiskError(.configuration, "The memory tables of disk \(options.name) cannot be made: \(error).")
        }
    }

    /// Puts the actors together, lowest first.
    private static func assemble(
        _ attachment: Attachment,
        _ outcome: Attachment.Outcome,
        _ mode: Mode,
        _ workers: Workers
    ) async throws(DiskError) -> Disk {
        let options = attachment.options
        let bitmap = attachment.bitmap
        let fence = attachment.fence
        let events = DiskEvents()
        let plane = try dataPlane(options, bitmap.geometry, outcome.superblock.head?.epoch.next ?? Epoch(1))
        if options.isReadOnly { plane.writeErrno.store(EROFS, ordering: .sequentiallyConsistent) }
        let now: @Sendable () -> UInt64 = { UInt64(time(nil)) }
        let remote = RemoteActor(store: options.store, bitmap: bitmap, logger: options.logger, events: events)
        let warnings = DiskWarnings(notices: outcome.notices, logger: options.logger, report: options.report)
        let cache = CacheActor(
            plane: plane,
            remote: remote,
            bitmap: bitmap,
            threads: workers.threads,
            outboxDirectory: outbox(options),
            limits: options.limits,
            policy: options.cachePolicy,
            warnings: warnings,
            logger: options.logger,
            events: events,
            report: options.report
        )
        try await cache.recover(
            try await bitmap.pageRecords(),
            pinning: try await bitmap.pinRules(),
            isClean: outcome.isClean,
            dropsClean: outcome.dropsClean
        )
        await cache.lookAtSpace()
        let allocated = await bitmap.allocatedChunks
        plane.counters.allocatedBytes.store(allocated * UInt64(plane.geometry.chunkBytes), ordering: .relaxed)
        let uploads = UploadQueueActor(
            plane: plane,
            cache: cache,
            remote: remote,
            bitmap: bitmap,
            fence: fence,
            garbage: GarbageCollector(bitmap: bitmap, store: options.store.brief, now: now),
            encoders: workers.encoders,
            superblock: outcome.superblock,
            establish: establisher(attachment, outcome, mode, cache),
            patience: options.lostObjectPatience,
            logger: options.logger,
            tell: options.report,
            now: now
        )
        // The store in the options owns the meter, so its observer must not own them.
        let report = options.report
        options.store.meter.observe { report(.remote(state: $0.rawValue, previous: $1.rawValue)) }
        return Disk(
            options: options,
            plane: plane,
            bitmap: bitmap,
            remote: remote,
            cache: cache,
            uploads: uploads,
            fence: fence,
            threads: workers.threads,
            encoders: workers.encoders,
            executor: workers.executor,
            warnings: warnings,
            events: events
        )
    }

    /// What must happen before the first epoch may be sealed; nil when the attach did it all.
    private static func establisher(
        _ attachment: Attachment,
        _ outcome: Attachment.Outcome,
        _ mode: Mode,
        _ cache: CacheActor
    ) -> UploadQueueActor.Establisher? {
        switch mode {
        case .online: return nil
        case .readsLocal, .readsRemote:
            return { () async throws(DiskError) in
                throw DiskError(.refused, "The disk was opened to be read.")
            }
        case .waitsForRemote:
            return { () async throws(DiskError) in
                let store = attachment.options.store
                guard try await DiskFormatter.open(store: store).disk == attachment.descriptor.disk else {
                    throw DiskError(.refused, "\(store.brief.location) holds another disk now.")
                }
                let superblock = try await attachment.claimWhileServing(
                    outcome.superblock,
                    hasDirty: await cache.hasDirty
                )
                await cache.renumber(to: superblock.head?.epoch.next ?? Epoch(1))
                return superblock
            }
        }
    }
}
