import Linux
package import Logging
import ServiceLifecycle
import VDriveEngine
import VDriveModel
package import VDriveProtocol

/// All disks of this daemon.
///
/// ## Notes on the design
///
///     detached ──attach──▶ attaching ──▶ attached ──detach──▶ detaching ──▶ detached
///        ▲                     │             ▲                    │
///        └──────── fails ──────┘             └───── is refused ───┘
///     detached ──destroy──▶ destroying ──▶ gone; or detached, when that fails
///
/// | phase | who may change it |
/// |---|---|
/// | detached | attach and destroy, which make it `attaching` and `destroying` before their first await |
/// | attaching, detaching, destroying | the one call that made it so; everybody else hears `busy` |
/// | attached | detach and the shutdown, which make it `detaching` before their first await |
///
/// 1. A phase changes in one synchronous stretch; after every await it is read again.
/// 2. `isAttachedAtStart` in a disk's file is true exactly while a user wants the disk attached: a shutdown leaves it,
///    and so does an attach that fails at a start.
/// 3. A name is taken, by a disk or by a create that runs, before the first await of the create.
/// 4. The disks' own tasks are children of `run()`: when it returns, none is left.
package actor DiskRegistry: Service, CustomStringConvertible {
    enum Phase: Sendable {
        case detached
        case attaching
        case attached(AttachedDisk)
        case detaching(AttachedDisk)
        case destroying
    }

    struct Entry: Sendable {
        var configuration: DiskConfiguration
        var phase = Phase.detached
        /// Why the disk is not well; gone with the next attach or detach that succeeds.
        var trouble: RPCError?
        /// What became of an attached disk that can no longer be written.
        var failure: DiskSnapshot.State?
    }

    let layout: StateLayout
    let host: Host
    let daemonUser: UInt32
    let logger: Logger
    package nonisolated let events: EventHub
    package nonisolated let jobs: JobRegistry
    var entries: [DiskName: Entry] = [:] {
        didSet { tellChanges(since: oldValue) }
    }
    /// Whether what is in `entries` came to be while somebody could watch.
    var isLoaded = false
    /// Names of creates and imports that run.
    var reserved: Set<DiskName> = []
    /// What `load` could not read.
    var loadErrors: [RPCError] = []
    var isStopping = false
    var isHurried = false

    typealias Work = @Sendable () async -> Void
    let work: AsyncStream<Work>
    let addWork: AsyncStream<Work>.Continuation

    /// - Parameter layout: claimed by the caller.
    package init(
        layout: StateLayout,
        host: Host,
        daemonUser: UInt32,
        events: EventHub,
        jobs: JobRegistry,
        logger: Logger
    ) {
        self.layout = layout
        self.host = host
        self.daemonUser = daemonUser
        self.events = events
        self.jobs = jobs
        self.logger = logger
        (work, addWork) = AsyncStream.makeStream()
    }

    package nonisolated var description: String { "disks" }

    // MARK: What is there

    /// Every disk, by name.
    package func list() async -> [DiskStatus] {
        var list: [DiskStatus] = []
        for name in entries.keys.sorted() {
            if let status = try? await status(of: name) { list.append(status) }
        }
        return list
    }

    /// Troubles that belong to no disk.
    package func problems() -> [String] { loadErrors.map(\.message) }

    /// - Throws: `notFound`.
    package func status(of name: DiskName) async throws(RPCError) -> DiskStatus {
        let entry = try entry(name)
        switch entry.phase {
        case .detached, .attaching, .destroying: return DiskStatus(entry: entry, snapshot: nil)
        case .attached(let attached), .detaching(let attached):
            // The snapshot belongs to the disk that was there; a detach meanwhile does not make it wrong.
            return DiskStatus(entry: entry, snapshot: await attached.disk.status())
        }
    }

    func entry(_ name: DiskName) throws(RPCError) -> Entry {
        guard let entry = entries[name] else {
            throw RPCError(.notFound, "There is no disk \(name) here; see vdrivectl status for those that are.")
        }
        return entry
    }

    /// The disk, when it is in use.
    func attachedDisk(_ name: DiskName) throws(RPCError) -> Disk { try attached(name).disk }

    /// The disk and what it holds, when it is in use.
    func attached(_ name: DiskName) throws(RPCError) -> AttachedDisk {
        switch try entry(name).phase {
        case .attached(let attached): return attached
        case .detached: throw RPCError(.refused, "The disk \(name) is not attached; attach it first.")
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; wait until it is.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached.")
        case .destroying: throw RPCError(.busy, "The disk \(name) is being destroyed.")
        }
    }

    var places: PlaceCheck {
        var devices: [UInt64: DiskName] = [:]
        for (name, entry) in entries {
            guard case .attached(let attached) = entry.phase else { continue }
            for device in attached.devices { devices[device] = name }
        }
        return PlaceCheck(devices: devices)
    }

    // MARK: New disks

    /// Creates a disk on an empty remote.
    package func create(_ params: DiskCreate.Parameters, _ job: JobHandle) async throws(RPCError) -> DiskStatus {
        let geometry: DiskGeometry
        do throws(GeometryError) {
            geometry = try DiskGeometry(
                diskBytes: params.sizeBytes,
                chunkBytes: params.chunkBytes ?? DiskGeometry.chunkBytesDefault
            )
        } catch {
            throw RPCError(error)
        }
        let request = DiskMaker.Request(
            name: try DiskName(params.name),
            remote: params.remote,
            cacheDirectory: params.cacheDirectory,
            cacheBytes: params.cacheBytes,
            credentials: try CredentialsSource.given(params.credentialsFile),
            durability: params.durability,
            uploadIntervalSeconds: try DiskConfiguration.checked(uploadInterval: params.uploadIntervalSeconds),
            cachePolicy: params.cachePolicy
        )
        job.report(phase: "writing the new disk to its remote")
        return try await add(request) { (maker) throws(RPCError) in
            try await maker.create(request, geometry: geometry)
        }
    }

    /// Makes a disk known that exists on the remote.
    package func importDisk(_ params: DiskImport.Parameters, _ job: JobHandle) async throws(RPCError) -> DiskStatus {
        let request = DiskMaker.Request(
            name: try DiskName(params.name),
            remote: params.remote,
            cacheDirectory: params.cacheDirectory,
            cacheBytes: params.cacheBytes,
            credentials: try CredentialsSource.given(params.credentialsFile),
            durability: params.durability,
            uploadIntervalSeconds: try DiskConfiguration.checked(uploadInterval: params.uploadIntervalSeconds),
            cachePolicy: params.cachePolicy
        )
        job.report(phase: "reading the disk from its remote")
        return try await add(request) { (maker) throws(RPCError) in
            try await job.cancellable { () async throws(RPCError) in try await maker.importDisk(request) }
        }
    }

    private func add(
        _ request: DiskMaker.Request,
        _ make: @Sendable (DiskMaker) async throws(RPCError) -> DiskConfiguration
    ) async throws(RPCError) -> DiskStatus {
        let name = request.name
        guard !isStopping else { throw RPCError(.busy, "The daemon is stopping; try again when it is back.") }
        try reserve(name)
        defer { reserved.remove(name) }
        let configuration = try await make(maker)
        entries[name] = Entry(configuration: configuration)
        logger.info("disk added", metadata: ["disk": "\(name)", "remote": "\(configuration.remote)"])
        return try await status(of: name)
    }

    var maker: DiskMaker {
        let known = Dictionary(entries.values.map { ($0.configuration.id, $0.configuration.name) }) { first, _ in first
        }
        return DiskMaker(layout: layout, daemonUser: daemonUser, places: places, known: known, logger: logger)
    }

    // MARK: What an attached disk does

    /// Returns when all that was written is committed on the remote.
    package func sync(_ name: DiskName, _ job: JobHandle) async throws(RPCError) -> DiskStatus {
        let disk = try attachedDisk(name)
        if case .attached(let attached) = try entry(name).phase, let volume = attached.volume {
            job.report(phase: "flushing the filesystem")
            let host = host
            // What ext4 still holds in the page cache was written too. With remote durability that flush waits for a
            // commit, paused or not.
            try await disk.uploading { () async throws(RPCError) in
                try await host.syncFilesystem(at: volume.mountPoint)
            }
        }
        try await sync(disk, job)
        // What was written may have its place only since.
        if case .attached(let attached) = try entry(name).phase { await attached.pins?.wake() }
        return try await status(of: name)
    }

    /// Drops cached data.
    ///
    /// - Parameter wait: uploads what is dirty first, and drops it too.
    /// - Returns: bytes dropped.
    package func evict(_ name: DiskName, wait: Bool, _ job: JobHandle) async throws(RPCError) -> UInt64 {
        let attached = try attached(name)
        if wait { try await sync(attached.disk, job) }
        return try await CacheSteering(scope: CacheScope(name: name, attached: attached, part: .whole)).evictAll(job)
    }

    /// Waits for the uploads, as a job that may be cancelled: they go on all the same.
    private func sync(_ disk: Disk, _ job: JobHandle) async throws(RPCError) {
        job.report(phase: "uploading what is not on the remote yet")
        try await job.cancellable { () async throws(RPCError) in
            let result = await disk.reportingUploads(to: job) { () -> Result<Void, DiskError> in
                do throws(DiskError) { return .success(try await disk.sync()) } catch { return .failure(error) }
            }
            do throws(DiskError) { try result.get() } catch { throw RPCError(error) }
        }
    }
}
