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
    /// Claims a term, takes the local state up, and is ready to `run`.
    ///
    /// - Throws: `DiskError`; then nothing of it is left running.
    package static func attach(_ options: DiskOptions) async throws(DiskError) -> Disk {
        let threads = BlockingThreads(name: "vdrive-cache", count: EngineLimits.cacheThreads)
        let encoders = BlockingThreads(name: "vdrive-encode", count: EngineLimits.encoderThreads)
        let executor = ThreadExecutor(name: "vdrive-lmdb")
        var bitmap: BitmapActor?
        do throws(DiskError) {
            let descriptor = try await DiskFormatter.open(store: options.store)
            try await makeFolders(options, threads)
            let opened = BitmapActor(executor: executor, id: descriptor.disk, geometry: descriptor.geometry)
            bitmap = opened
            let fence = Fence(store: options.store, descriptor: descriptor, logger: options.logger)
            let attachment = Attachment(options: options, descriptor: descriptor, fence: fence, bitmap: opened)
            let outcome = try await attachment.run()
            return try await assemble(options, outcome, fence, opened, threads, encoders, executor)
        } catch {
            await bitmap?.close()
            threads.shutdown()
            encoders.shutdown()
            executor.stop()
            throw error
        }
    }

    private static func outbox(_ options: DiskOptions) -> String { "\(options.cacheDirectory)/outbox" }

    private static func makeFolders(_ options: DiskOptions, _ threads: BlockingThreads) async throws(DiskError) {
        do throws(Errno) {
            try await threads.run { () throws(Errno) in
                try Directory.createAll(options.stateDirectory)
                try Directory.createAll(outbox(options))
            }
        } catch {
            throw DiskError(.configuration, "The folders of disk \(options.name) cannot be made: \(error).")
        }
    }

    /// Puts the actors together, lowest first.
    private static func assemble(
        _ options: DiskOptions,
        _ outcome: Attachment.Outcome,
        _ fence: Fence,
        _ bitmap: BitmapActor,
        _ threads: BlockingThreads,
        _ encoders: BlockingThreads,
        _ executor: ThreadExecutor
    ) async throws(DiskError) -> Disk {
        let (stream, source) = AsyncStream.makeStream(of: DiskEvent.self, bufferingPolicy: .bufferingNewest(1024))
        let plane: DataPlane
        do throws(Errno) {
            let epoch = outcome.superblock.head?.epoch.next ?? Epoch(1)
            plane = try DataPlane(
                geometry: bitmap.geometry,
                cacheDirectory: options.cacheDirectory,
                epoch: epoch
            )
        } catch {
            throw DiskError(.configuration, "The memory tables of disk \(options.name) cannot be made: \(error).")
        }
        let remote = RemoteActor(store: options.store, bitmap: bitmap, logger: options.logger, events: source)
        let warnings = DiskWarnings(logger: options.logger)
        let cache = CacheActor(
            plane: plane,
            remote: remote,
            bitmap: bitmap,
            threads: threads,
            outboxDirectory: outbox(options),
            limitBytes: options.cacheBytes,
            warnings: warnings,
            logger: options.logger,
            events: source
        )
        try await cache.recover(
            try await bitmap.pageRecords(),
            isClean: outcome.isClean && !outcome.cacheIsLost,
            dropsClean: outcome.dropsClean
        )
        let allocated = await bitmap.allocatedChunks
        plane.counters.allocatedBytes.store(allocated * UInt64(plane.geometry.chunkBytes), ordering: .relaxed)
        let uploads = UploadQueueActor(
            plane: plane,
            cache: cache,
            remote: remote,
            bitmap: bitmap,
            fence: fence,
            garbage: GarbageCollector(bitmap: bitmap, store: options.store.brief),
            encoders: encoders,
            superblock: outcome.superblock,
            logger: options.logger,
            now: { UInt64(time(nil)) }
        )
        return Disk(
            options: options,
            plane: plane,
            bitmap: bitmap,
            remote: remote,
            cache: cache,
            uploads: uploads,
            threads: threads,
            encoders: encoders,
            executor: executor,
            warnings: warnings,
            events: (stream, source)
        )
    }
}
