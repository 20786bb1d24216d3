import Linux
import Logging
import VDriveEngine
import VDriveFuse
import VDriveHost
import VDriveProtocol

/// How a disk comes to be in use, and how it goes again.
///
/// ## Notes on the design
/// Up:   clean what a dead daemon left · engine · FUSE mount · loop device · mkfs where never formatted · mount
/// Down: unmount · loop device · FUSE unmount in the kernel (no more intake) · flush and commit · engine closes
///
/// Up, each step that fails undoes those before it, in reverse. Down, everything that can be refused because somebody
/// uses it comes first and is put back, so that a refused detach leaves the disk attached; from the commit on there is
/// no way back, and none is needed: what could not be committed stays on this machine and goes up after the next
/// attach.
///
/// Everything that blocks runs on `Host`'s threads. A mkfs on a thread of the cooperative pool would wait for the
/// engine, which runs there.
struct AttachSequence: Sendable {
    /// What to attach and how; the registry has settled all defaults.
    struct Plan: Sendable {
        var configuration: DiskConfiguration
        /// Nil: what is on the disk, or ext4 where nothing is.
        var filesystem: FilesystemChoice?
        var mountPoint: String
        /// What a user allows; nothing at the daemon's start.
        var intent = AttachIntent()
        /// To be read alone: image, loop device and mount are read-only, too.
        var isReadOnly = false
        /// A new disk for the local changes, should another machine have gone on without them.
        var keepLocalAs: DiskName?
    }

    let layout: StateLayout
    let daemonUser: UInt32
    let host: Host
    /// Takes the disk's `run()` into the registry's task group.
    let start: @Sendable (Disk) -> Void
    /// Hears of what happens to an attached disk.
    let report: @Sendable (DiskName, DiskReport) -> Void
    let logger: Logger

    /// Long enough for a server that is being repaired to have its files back.
    private static let lostObjectPatience = Duration.seconds(15 * 60)
    /// A search for files that waits for a remote which is away hears of it after the read deadline, five minutes.
    private static let askerPatience = Duration.seconds(310)
    /// What steers the cache hears at once that it is to end, and does after the request in flight.
    private static let steeringPatience = Duration.seconds(60)
    private static let hurriedPatience = Duration.seconds(3)

    // MARK: Up

    /// - Throws: `refused` also when the job was cancelled, which it may be until the remote has answered.
    func attach(_ plan: Plan, _ job: JobHandle) async throws(RPCError) -> AttachedDisk {
        var undo = UndoList()
        do throws(RPCError) {
            return try await attach(plan, job, undo: &undo)
        } catch {
            await undo.run(logger: logger)
            throw error
        }
    }

    private func attach(_ plan: Plan, _ job: JobHandle, undo: inout UndoList) async throws(RPCError) -> AttachedDisk {
        let name = plan.configuration.name
        let directory = layout.fuseDirectory(of: name)
        try await host.check(for: plan.filesystem)
        try await host.cleanStale(fuseDirectory: directory, logger: logger)
        job.report(phase: "opening the disk on its remote")
        let disk = try await job.cancellable { () async throws(RPCError) in try await openDisk(plan, job) }
        undo.add("close the disk") { try await disk.stop(commit: false, releasing: true) }
        start(disk)
        // A disk begins with local durability: what mkfs and mount flush must not wait for hours of uploads that a
        // crash left, or for a remote that is away. What others flush counts once the attach is done.
        let durability = Durability(plan.configuration.durability)
        if plan.filesystem == FilesystemChoice.none { await disk.setDurability(durability) }
        job.report(phase: "mounting the disk")
        let fuse = try await host.mountImage(at: directory, disk: disk, name: name)
        undo.add("unmount the image") { await host.unmountImage(fuse) }
        var devices: Set<UInt64> = []
        if let seen = await host.devices(of: fuse.imagePath) { devices.insert(seen.on) }
        var volume: AttachedDisk.Volume?
        if plan.filesystem != FilesystemChoice.none {
            let made = try await mountVolume(plan, image: fuse.imagePath, undo: &undo)
            if let seen = await host.devices(of: made.loop.devicePath) { devices.insert(seen.standsFor) }
            volume = made
        }
        await disk.setDurability(durability)
        let pins = volume.map { PinFollower(name: name, disk: disk, paths: $0.paths, logger: logger) }
        return AttachedDisk(disk: disk, fuse: fuse, volume: volume, devices: devices, pins: pins)
    }

    /// What the engine opens a disk with.
    ///
    /// - Parameter job: the attach that opens it, for use; nil for a copy, which nobody hears of.
    func options(
        _ configuration: DiskConfiguration,
        _ intent: AttachIntent,
        isReadOnly: Bool = false,
        for job: JobHandle?
    ) async throws(RPCError) -> DiskOptions {
        let store = try DiskMaker.store(
            url: configuration.remote,
            credentials: configuration.credentials,
            daemonUser: daemonUser,
            logger: logger
        )
        let stateDirectory = layout.metadataDirectory(of: configuration.name)
        // Somebody may have thrown the cache away: the remote has it all.
        for folder in [configuration.cacheDirectory, stateDirectory] { try await host.makeFolder(folder, mode: 0o700) }
        return DiskOptions(
            name: configuration.name.text,
            store: store,
            cacheDirectory: configuration.cacheDirectory,
            stateDirectory: stateDirectory,
            limits: configuration.cacheLimits,
            durability: .local,
            uploadInterval: .seconds(configuration.uploadIntervalSeconds),
            cachePolicy: CachePolicy(configuration.cachePolicy),
            lostObjectPatience: Self.lostObjectPatience,
            intent: intent,
            isReadOnly: isReadOnly,
            logger: logger,
            softwareVersion: "vdrived \(DaemonVersion.release)",
            report: reporter(of: configuration.name, for: job),
            goesOn: { job?.settle() ?? true }
        )
    }

    private func reporter(of name: DiskName, for job: JobHandle?) -> DiskReporter {
        guard job != nil else { return { _ in } }
        let report = report
        return { report(name, $0) }
    }

    private func openDisk(_ plan: Plan, _ job: JobHandle) async throws(RPCError) -> Disk {
        let configuration = plan.configuration
        let options = try await options(configuration, plan.intent, isReadOnly: plan.isReadOnly, for: job)
        let disk: Disk
        do throws(DiskError) {
            disk = try await Disk.attach(options)
        } catch {
            throw RPCError(error)
        }
        guard disk.id == configuration.id else {
            try? await disk.stop(commit: false, releasing: true)
            throw RPCError(
                .refused,
                "\(configuration.remote) holds another disk (\(disk.id)) than \(configuration.name) was; "
                    + "import it under another name."
            )
        }
        return disk
    }

    private func mountVolume(
        _ plan: Plan,
        image: String,
        undo: inout UndoList
    ) async throws(RPCError) -> AttachedDisk.Volume {
        let loop = try await host.attachLoop(image: image, isReadOnly: plan.isReadOnly)
        undo.add("detach the loop device") { try await host.detachLoop(loop) }
        let filesystem = try await host.prepareFilesystem(
            on: loop,
            wanted: plan.filesystem,
            name: plan.configuration.name,
            isReadOnly: plan.isReadOnly
        )
        let isOurs = !Directory.exists(plan.mountPoint)
        if isOurs {
            try await host.makeFolder(plan.mountPoint, mode: 0o755)
            undo.add("remove the mount point") { try Directory.removeEmpty(plan.mountPoint) }
        }
        try await host.mount(loop, filesystem: filesystem, at: plan.mountPoint, isReadOnly: plan.isReadOnly)
        undo.add("unmount") { try await host.unmount(plan.mountPoint) }
        return AttachedDisk.Volume(
            loop: loop,
            filesystem: filesystem,
            mountPoint: plan.mountPoint,
            isMountPointOurs: isOurs,
            isReadOnly: plan.isReadOnly,
            paths: PathAsker(mountPoint: plan.mountPoint, device: loop, filesystem: filesystem.filesystem)
        )
    }

    // MARK: Down

    /// Takes the disk out of use, as a user asks for it.
    ///
    /// - Throws: `busy` when somebody uses the disk: it stays attached.
    /// - Returns: what went wrong after the point of no return, if anything: the disk is detached all the same.
    func detach(_ attached: AttachedDisk, _ job: JobHandle) async throws(RPCError) -> RPCError? {
        job.report(phase: "taking the disk out of use")
        // With remote durability the unmount waits for a commit. As long as somebody can refuse, nobody is answered
        // too early: a refusal takes 2 seconds, and giving the remote up 15.
        await attached.disk.leave()
        do throws(RPCError) {
            if let volume = attached.volume {
                await volume.paths.pause(patience: Self.askerPatience)
                try await release(volume)
            } else {
                // Somebody may have the bare image open: a virtual machine, or a loop device of their own.
                try await host.releaseImage(attached.fuse)
            }
        } catch {
            attached.volume?.paths.resume()
            await attached.disk.stay()
            throw error
        }
        await host.unmountImage(attached.fuse)
        await attached.steering.close(patience: Self.steeringPatience)
        job.report(phase: "uploading what is not on the remote yet")
        return await attached.disk.reportingUploads(to: job) { await close(attached) }
    }

    private func release(_ volume: AttachedDisk.Volume) async throws(RPCError) {
        try await host.unmount(volume.mountPoint)
        do throws(RPCError) {
            try await host.detachLoop(volume.loop)
        } catch {
            try await host.mount(
                volume.loop,
                filesystem: volume.filesystem,
                at: volume.mountPoint,
                isReadOnly: volume.isReadOnly
            )
            throw error
        }
        if volume.isMountPointOurs { try? Directory.removeEmpty(volume.mountPoint) }
    }

    /// Commits and closes. FUSE has ended, so nothing new comes between the two.
    private func close(_ attached: AttachedDisk) async -> RPCError? {
        do throws(DiskError) {
            try await attached.disk.stop(commit: true, releasing: true)
            return nil
        } catch {
            return RPCError(error)
        }
    }

    private func commit(_ disk: Disk) async -> RPCError? {
        do throws(DiskError) {
            try await disk.syncUnlessOffline()
            return nil
        } catch {
            return RPCError(error)
        }
    }

    /// Takes the disk out of use because the daemon ends: nobody can refuse, and a remote that is away cannot either
    /// once `isHurried` says so.
    func shutDown(_ attached: AttachedDisk, isHurried: @escaping @Sendable () async -> Bool) async {
        await attached.disk.leave()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await takeOut(attached) }
            group.addTask {
                await wait(until: isHurried)
                if !Task.isCancelled { await attached.disk.giveUpRemote() }
            }
            await group.next()
            group.cancelAll()
        }
        await commit(attached.disk, isHurried: isHurried)
    }

    private func takeOut(_ attached: AttachedDisk) async {
        if let volume = attached.volume {
            await volume.paths.pause(patience: Self.hurriedPatience)
            do throws(RPCError) {
                try await host.forceUnmount(volume.mountPoint)
                try await host.detachLoop(volume.loop)
            } catch {
                logger.warning("somebody still uses the disk", metadata: ["error": "\(error)"])
            }
            if volume.isMountPointOurs { try? Directory.removeEmpty(volume.mountPoint) }
        }
        await host.unmountImage(attached.fuse)
        await attached.steering.close(patience: Self.steeringPatience)
    }

    private func wait(until isHurried: @escaping @Sendable () async -> Bool) async {
        while await !isHurried() {
            do { try await Task.sleep(for: .milliseconds(100)) } catch { break }
        }
    }

    /// Commits unless it becomes urgent, and closes.
    private func commit(_ disk: Disk, isHurried: @escaping @Sendable () async -> Bool) async {
        let trouble = await withTaskGroup(of: RPCError?.self) { group -> RPCError? in
            group.addTask { await commit(disk) }
            group.addTask {
                await wait(until: isHurried)
                return RPCError(.retry, "The daemon was told to end at once.")
            }
            let first: RPCError? = await group.next() ?? nil
            group.cancelAll()
            // Closing ends the commit that still waits; its data stays here.
            do throws(DiskError) {
                try await disk.stop(commit: false)
            } catch {
                return first ?? RPCError(error)
            }
            return first
        }
        if let trouble { logger.warning("not all is on the remote yet", metadata: ["error": "\(trouble)"]) }
    }
}
