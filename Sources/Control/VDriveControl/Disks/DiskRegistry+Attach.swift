import Logging
import VDriveEngine
import VDriveFuse
package import VDriveProtocol
import VDriveStore

extension DiskRegistry {
    /// Attaches a disk. One that is attached the same way already is left as it is.
    package func attach(_ params: DiskAttach.Parameters) async throws(RPCError) -> DiskStatus {
        let name = try DiskName(params.name)
        let plan = try plan(params, for: try entry(name).configuration)
        try await attach(plan, explicit: params)
        return try await status(of: name)
    }

    /// Settles what the caller left open.
    private func plan(
        _ params: DiskAttach.Parameters,
        for configuration: DiskConfiguration
    ) throws(RPCError) -> AttachSequence.Plan {
        let filesystem = params.filesystem ?? configuration.filesystem
        if filesystem == FilesystemChoice.none, params.mountPoint != nil {
            throw RPCError(
                .invalidParams,
                "With the filesystem none there is nothing to mount; leave out the mount point, or choose ext4 or xfs."
            )
        }
        let mountPoint = params.mountPoint ?? configuration.mountPoint ?? "/mnt/\(configuration.name)"
        return AttachSequence.Plan(
            configuration: configuration,
            filesystem: filesystem,
            mountPoint: mountPoint.count > 1 && mountPoint.hasSuffix("/") ? String(mountPoint.dropLast()) : mountPoint
        )
    }

    /// - Parameter explicit: what a user asked for by name; nil at the daemon's start.
    func attach(_ plan: AttachSequence.Plan, explicit: DiskAttach.Parameters?) async throws(RPCError) {
        let name = plan.configuration.name
        guard !isStopping else { throw RPCError(.busy, "The daemon is stopping; try again when it is back.") }
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached already.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached; attach it when that is done.")
        case .attached(let attached): return try check(attached, name, fits: explicit, plan)
        case .detached: break
        }
        try check(plan)
        entries[name]?.phase = .attaching
        do throws(RPCError) {
            let attached = try await sequence.attach(plan)
            // Invariant 1: nobody else changes an `attaching` disk.
            entries[name]?.phase = .attached(attached)
            entries[name]?.trouble = nil
            logger.info("disk attached", metadata: ["disk": "\(name)", "image": "\(attached.fuse.imagePath)"])
            try remember(name, isAttached: true, attached: attached)
        } catch {
            if case .attaching? = entries[name]?.phase { entries[name]?.phase = .detached }
            entries[name]?.trouble = error
            throw error
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
    ) throws(RPCError) {
        guard let params else { return }
        let fitsFilesystem = params.filesystem == nil || params.filesystem == attached.filesystem
        let fitsMount = params.mountPoint == nil || plan.mountPoint == attached.volume?.mountPoint
        guard fitsFilesystem, fitsMount else {
            let place = attached.volume.map { "at \($0.mountPoint) as \($0.filesystem.rawValue)" } ?? "as a bare image"
            throw RPCError(.refused, "The disk \(name) is attached \(place) already; detach it first.")
        }
    }

    /// Takes a disk out of use; one that is not in use stays so, and is not attached at the next start.
    package func detach(_ name: DiskName) async throws(RPCError) -> DiskStatus {
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; detach it when that is done.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached already.")
        case .detached:
            try remember(name, isAttached: false, attached: nil)
            entries[name]?.trouble = nil
        case .attached(let attached):
            entries[name]?.phase = .detaching(attached)
            try await detach(attached, name)
        }
        return try await status(of: name)
    }

    private func detach(_ attached: AttachedDisk, _ name: DiskName) async throws(RPCError) {
        let trouble: RPCError?
        do throws(RPCError) {
            trouble = try await sequence.detach(attached)
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
            configuration.filesystem = attached.filesystem
            configuration.mountPoint = attached.volume?.mountPoint ?? configuration.mountPoint
        }
        guard configuration != entries[name]?.configuration else { return }
        entries[name]?.configuration = configuration
        try configuration.save(in: layout)
    }

    var sequence: AttachSequence {
        let addJob = addJob
        return AttachSequence(
            layout: layout,
            daemonUser: daemonUser,
            host: host,
            start: { disk in addJob.yield { await disk.run() } },
            logger: logger
        )
    }
}
