import Logging
import VDriveEngine
import VDriveFuse
import VDriveHost
import VDriveModel
package import VDriveProtocol
import VDriveStore

extension DiskRegistry {
    /// Attaches a disk. One that is attached the same way already is left as it is.
    package func attach(_ params: DiskAttach.Parameters, _ job: JobHandle) async throws(RPCError) -> DiskStatus {
        let name = try DiskName(params.name)
        let plan = try plan(params, for: try entry(name).configuration)
        try await attach(plan, explicit: params, job)
        return try await status(of: name)
    }

    /// Settles what the caller left open.
    private func plan(
        _ params: DiskAttach.Parameters,
        for configuration: DiskConfiguration
    ) throws(RPCError) -> AttachSequence.Plan {
        if params.discardLocal == true, params.keepLocalAs != nil {
            throw RPCError(.invalidParams, "discardLocal and keepLocalAs exclude each other; choose one.")
        }
        let isReadOnly = params.readOnly ?? false
        guard !isReadOnly || (params.takeover != true && params.discardLocal != true && params.keepLocalAs == nil)
        else {
            throw RPCError(
                .invalidParams,
                "readOnly changes nothing, here or on the remote; leave out takeover, discardLocal and keepLocalAs."
            )
        }
        var keepLocalAs: DiskName?
        if let text = params.keepLocalAs { keepLocalAs = try DiskName(text) }
        let filesystem = params.filesystem ?? configuration.filesystem
        if filesystem == FilesystemChoice.none, params.mountPoint != nil {
            throw RPCError(
                .invalidParams,
                "With the filesystem none there is nothing to mount; leave out the mount point, or choose ext4 or xfs."
            )
        }
        return AttachSequence.Plan(
            configuration: configuration,
            filesystem: filesystem,
            mountPoint: try Self.mountPoint(params.mountPoint, configuration),
            intent: AttachIntent(
                takesOver: params.takeover ?? false,
                discardsLocal: params.discardLocal ?? false
            ),
            isReadOnly: isReadOnly,
            keepLocalAs: keepLocalAs
        )
    }

    /// The one text by which a mount point is known from here on: paths are found by it, letter by letter.
    ///
    /// - Parameter given: nil for the one that the disk had last.
    /// - Throws: when it is no absolute path.
    static func mountPoint(_ given: String?, _ configuration: DiskConfiguration) throws(RPCError) -> String {
        let text = given ?? configuration.mountPoint ?? "/mnt/\(configuration.name)"
        do throws(HostError) { return try MountPoint(text).path } catch { throw RPCError(error) }
    }

    /// - Parameter explicit: what a user asked for by name; nil at the daemon's start.
    func attach(
        _ plan: AttachSequence.Plan,
        explicit: DiskAttach.Parameters?,
        _ job: JobHandle
    ) async throws(RPCError) {
        let name = plan.configuration.name
        guard !isStopping else { throw RPCError(.busy, "The daemon is stopping; try again when it is back.") }
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached already.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached; attach it when that is done.")
        case .destroying: throw RPCError(.busy, "The disk \(name) is being destroyed.")
        case .attached(let attached): return try await check(attached, name, fits: explicit, plan)
        case .detached: break
        }
        try check(plan)
        if let new = plan.keepLocalAs { try reserve(new) }
        defer { if let new = plan.keepLocalAs { reserved.remove(new) } }
        entries[name]?.phase = .attaching
        entries[name]?.failure = nil
        do throws(RPCError) {
            let attached = try await attachKeepingLocal(plan, job)
            // Invariant 1: nobody else changes an `attaching` disk.
            entries[name]?.phase = .attached(attached)
            entries[name]?.trouble = nil
            // What it told before was of a disk that was not attached yet.
            addWork.yield { await self.lookAtFailure(of: name) }
            if let pins = attached.pins {
                addWork.yield { try? await attached.steering.run { () async throws(RPCError) in await pins.run() } }
            }
            logger.info("disk attached", metadata: ["disk": "\(name)", "image": "\(attached.fuse.imagePath)"])
            try remember(name, isAttached: true, attached: attached)
        } catch {
            // An attach that somebody has cancelled is no trouble of the disk.
            entries[name]?.trouble = job.isAsked ? nil : error
            if case .attaching? = entries[name]?.phase { entries[name]?.phase = .detached }
            throw error
        }
    }

    /// The name is free until now, and nobody else's from now on.
    func reserve(_ name: DiskName) throws(RPCError) {
        guard entries[name] == nil, !reserved.contains(name) else {
            throw RPCError(.exists, "A disk \(name) exists here already; choose another name.")
        }
        reserved.insert(name)
    }

    /// Attaches; local changes that another machine went on without become a new disk first, where the plan names one.
    private func attachKeepingLocal(
        _ plan: AttachSequence.Plan,
        _ job: JobHandle
    ) async throws(RPCError) -> AttachedDisk {
        do throws(RPCError) {
            return try await sequence.attach(plan, job)
        } catch {
            guard error.code == .diverged, let new = plan.keepLocalAs else { throw error }
            let name = plan.configuration.name
            logger.notice("local changes become a disk of their own", metadata: ["disk": "\(name)", "new": "\(new)"])
            let keeper = LocalKeeper(
                maker: maker,
                sequence: sequence,
                isStopping: { await self.isStopping },
                job: job
            )
            let configuration = try await keeper.keep(plan.configuration, as: new)
            entries[new] = Entry(configuration: configuration)
            var next = plan
            next.intent.discardsLocal = true
            do throws(RPCError) {
                return try await sequence.attach(next, job)
            } catch {
                throw RPCError(
                    error.code ?? .internal,
                    "The local changes of \(name) are kept as \(new), but \(name) could not be attached: "
                        + "\(error.message) Attach it with --discard-local, since its changes are kept."
                )
            }
        }
    }

    /// What would make the disk wait for itself.
    private func check(_ plan: AttachSequence.Plan) throws(RPCError) {
        let configuration = plan.configuration
        try places.check(configuration.cacheDirectory, purpose: "The cache directory")
        guard plan.filesystem != FilesystemChoice.none else { return }
        try places.check(plan.mountPoint, purpose: "The mount point")
        var covered = [
            (configuration.cacheDirectory, "The cache directory"), (layout.stateDirectory, "The state directory"),
            (layout.runDirectory, "The run directory"),
        ]
        if configuration.remote.scheme == .file { covered.append((configuration.remote.path, "The remote's folder")) }
        for (path, purpose) in covered {
            try PlaceCheck.check(mountPoint: plan.mountPoint, doesNotCover: path, purpose: purpose)
        }
    }

    private func check(
        _ attached: AttachedDisk,
        _ name: DiskName,
        fits params: DiskAttach.Parameters?,
        _ plan: AttachSequence.Plan
    ) async throws(RPCError) {
        guard let params else { return }
        let snapshot = await attached.disk.status()
        guard snapshot.state == .attached else {
            throw RPCError(
                snapshot.state == .fenced ? .fenced : snapshot.state == .diverged ? .diverged : .refused,
                "The disk \(name) is attached already, and \(snapshot.state.rawValue): "
                    + "\(snapshot.lastError ?? "see the log") Detach it first."
            )
        }
        guard params.discardLocal != true, params.keepLocalAs == nil else {
            throw RPCError(.refused, "The disk \(name) is attached, with its local changes; detach it first.")
        }
        let fitsFilesystem = params.filesystem == nil || params.filesystem == attached.filesystem
        let fitsMount = params.mountPoint == nil || attached.volume?.mountPoint.isSamePath(as: plan.mountPoint) == true
        let fitsAccess = params.readOnly == nil || params.readOnly == snapshot.isReadOnly
        guard fitsFilesystem, fitsMount, fitsAccess else {
            var place = attached.volume.map { "at \($0.mountPoint) as \($0.filesystem.rawValue)" } ?? "as a bare image"
            place += snapshot.isReadOnly ? ", to be read," : ", to be written,"
            throw RPCError(.refused, "The disk \(name) is attached \(place) already; detach it first.")
        }
    }

    /// Takes a disk out of use; one that is not in use stays so, and is not attached at the next start.
    package func detach(_ name: DiskName, _ job: JobHandle) async throws(RPCError) -> DiskStatus {
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; detach it when that is done.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached already.")
        case .destroying: throw RPCError(.busy, "The disk \(name) is being destroyed.")
        case .detached:
            try remember(name, isAttached: false, attached: nil)
            entries[name]?.trouble = nil
        case .attached(let attached):
            entries[name]?.phase = .detaching(attached)
            try await detach(attached, name, job)
        }
        return try await status(of: name)
    }

    private func detach(_ attached: AttachedDisk, _ name: DiskName, _ job: JobHandle) async throws(RPCError) {
        let trouble: RPCError?
        do throws(RPCError) {
            trouble = try await sequence.detach(attached, job)
        } catch {
            entries[name]?.phase = .attached(attached)
            throw error
        }
        entries[name]?.phase = .detached
        entries[name]?.trouble = trouble
        logger.info("disk detached", metadata: ["disk": "\(name)"])
        try remember(name, isAttached: false, attached: nil)
        if let trouble {
            throw RPCError(
                trouble.code ?? .internal,
                "\(name) is detached, but what is not on the remote yet stays on this machine until the next attach: "
                    + trouble.message
            )
        }
    }

    /// Invariant 2.
    private func remember(_ name: DiskName, isAttached: Bool, attached: AttachedDisk?) throws(RPCError) {
        guard var configuration = entries[name]?.configuration else { return }
        configuration.isAttachedAtStart = isAttached
        if let attached {
            configuration.isReadOnly = attached.disk.isReadOnly
            configuration.filesystem = attached.filesystem
            configuration.mountPoint = attached.volume?.mountPoint ?? configuration.mountPoint
        }
        guard configuration != entries[name]?.configuration else { return }
        entries[name]?.configuration = configuration
        try configuration.save(in: layout)
    }

    var sequence: AttachSequence {
        let addWork = addWork
        return AttachSequence(
            layout: layout,
            daemonUser: daemonUser,
            host: host,
            start: { disk in addWork.yield { await disk.run() } },
            report: { name, report in self.take(report, of: name) },
            logger: logger
        )
    }
}
