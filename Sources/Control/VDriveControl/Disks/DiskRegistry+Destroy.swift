import Linux
import Logging
import VDriveEngine
import VDriveModel
package import VDriveProtocol

extension DiskRegistry {
    /// Forgets a detached disk, after deleting it on its remote where that is asked for.
    ///
    /// The remote goes first, and the disk's file last: what stops half-way is done again by the same call.
    ///
    package func destroy(
        _ params: DiskDestroy.Parameters,
        _ job: JobHandle
    ) async throws(RPCError) -> DiskDestroy.Output {
        let name = try DiskName(params.name)
        guard !isStopping else { throw RPCError(.busy, "The daemon is stopping; try again when it is back.") }
        if let uuid = params.uuid, DiskID(uuid) == nil {
            throw RPCError(.invalidParams, "\(JSONValue.string(String(uuid.prefix(80))).text) is no uuid.")
        }
        let configuration = try entry(name).configuration
        try Self.check(params, configuration)
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; detach it when that is done.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached; destroy it when that is done.")
        case .destroying: throw RPCError(.busy, "The disk \(name) is being destroyed already.")
        case .attached: throw RPCError(.refused, "The disk \(name) is attached; detach it first.")
        case .detached: break
        }
        entries[name]?.phase = .destroying
        do throws(RPCError) {
            let output = try await destroy(configuration, params, job)
            entries[name] = nil
            logger.notice("disk destroyed", metadata: ["disk": "\(name)", "objects": "\(output.deletedObjects)"])
            return output
        } catch {
            entries[name]?.phase = .detached
            throw error
        }
    }

    private static func check(
        _ params: DiskDestroy.Parameters,
        _ configuration: DiskConfiguration
    ) throws(RPCError) {
        let uuid = configuration.id.description
        guard params.remote != true || params.uuid != nil else {
            throw RPCError(
                .invalidParams,
                "To delete the disk on its remote its uuid is needed as a confirmation; see vdrivectl status."
            )
        }
        guard params.uuid == nil || params.uuid == uuid else {
            throw RPCError(.refused, "The disk \(configuration.name) has another uuid, \(uuid); nothing was changed.")
        }
        guard params.takeover != true || params.remote == true else {
            throw RPCError(.invalidParams, "takeover goes with remote: without it no other machine is concerned.")
        }
    }

    /// The disk is `destroying`: nobody else touches it.
    private func destroy(
        _ configuration: DiskConfiguration,
        _ params: DiskDestroy.Parameters,
        _ job: JobHandle
    ) async throws(RPCError) -> DiskDestroy.Output {
        let name = configuration.name
        let local = LocalDisk(configuration, in: layout)
        if params.discardLocal != true, let changes = await host.run({ local.changes() }) {
            throw RPCError(
                .refused,
                "\(changes) Attach \(name) and detach it to upload that, or destroy it with --discard-local."
            )
        }
        var deleted: UInt64 = 0
        if params.remote == true {
            deleted = try await deleteOnRemote(configuration, takesOver: params.takeover ?? false, job)
        }
        job.report(phase: "removing what is on this machine")
        let isStandard = configuration.cacheDirectory == layout.standardCacheDirectory(of: name)
        let file = layout.configurationFile(of: name)
        let kept = try await host.run { () throws(RPCError) in
            do throws(Errno) {
                let kept = try local.remove(ownsCacheDirectory: isStandard)
                try Directory.removeFile(file)
                if let folder = Directory.parent(of: file) { try Directory.sync(folder) }
                return kept
            } catch {
                throw RPCError(
                    .fixConfiguration,
                    "The files of \(name) cannot be removed: \(error); set that right and destroy it again."
                )
            }
        }
        return DiskDestroy.Output(
            name: name.text,
            uuid: configuration.id.description,
            deletedObjects: deleted,
            keptFiles: Array(kept.prefix(DiskDestroy.keptFilesMax))
        )
    }

    private func deleteOnRemote(
        _ configuration: DiskConfiguration,
        takesOver: Bool,
        _ job: JobHandle
    ) async throws(RPCError) -> UInt64 {
        let store = try DiskMaker.store(
            url: configuration.remote,
            credentials: configuration.credentials,
            daemonUser: daemonUser,
            logger: logger
        )
        let removal = DiskRemoval(
            store: store,
            id: configuration.id,
            stateDirectory: layout.metadataDirectory(of: configuration.name),
            takesOver: takesOver,
            softwareVersion: "vdrived \(DaemonVersion.release)",
            isStopping: {
                if job.isAsked { return true }
                return await self.isStopping
            },
            progress: { job.report(done: $0, .objects) }
        )
        job.report(phase: "deleting the disk on its remote", done: 0, .objects)
        // What is left half done goes on with the same call.
        job.allowCancelling()
        do throws(DiskError) {
            let deleted = try await removal.run()
            guard job.settle() else { throw DiskError(.busy, JobHandle.cancelled.message) }
            return deleted
        } catch {
            guard job.settle() else { throw JobHandle.cancelled }
            // The sentences of an attach fit, but for what to do.
            throw RPCError(
                RPCError(error).code ?? .internal,
                "\(configuration.name) is not destroyed: "
                    + error.message.replacing("attach with --takeover", with: "destroy with --takeover")
            )
        }
    }
}

extension LocalDisk {
    init(_ configuration: DiskConfiguration, in layout: StateLayout) {
        self.init(
            cacheDirectory: configuration.cacheDirectory,
            stateDirectory: layout.metadataDirectory(of: configuration.name)
        )
    }
}
