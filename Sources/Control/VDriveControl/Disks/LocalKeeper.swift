import Linux
import Logging
import Synchronization
import VDriveEngine
import VDriveProtocol
import VDriveStore

/// Makes a new disk of what this machine has of one that another machine went on with: its last commit that this one
/// knows, and its changes since.
///
/// ## Notes on the design
/// create beside the old one · attach it (no FUSE) · open the old one to read · copy · commit and detach · register
///
/// The new disk's file comes last: a daemon that dies half-way knows nothing of a half-made disk. The old one's local
/// data is only read here, so whatever fails, it is all there still; the new disk is then taken away again.
struct LocalKeeper: Sendable {
    let maker: DiskMaker
    let sequence: AttachSequence
    /// Whether the daemon ends, and the copy with it.
    let isStopping: @Sendable () async -> Bool
    let job: JobHandle

    /// The copy uploads what it has written whenever so much of the new disk's cache is dirty: writes then never wait
    /// for room, which only a remote that answers could end.
    private static let dirtyShare: UInt64 = 4

    /// - Returns: the new disk, committed, detached, and registered in its file.
    /// - Throws: then nothing of the new disk is left, as far as its remote could be reached.
    func keep(_ old: DiskConfiguration, as name: DiskName) async throws(RPCError) -> DiskConfiguration {
        let request = try request(old, name)
        try checkIsEmpty(request.cacheDirectory ?? maker.layout.standardCacheDirectory(of: name))
        try checkIsEmpty(maker.layout.metadataDirectory(of: name))
        var undo = UndoList()
        do throws(RPCError) {
            let new = try await maker.create(request, geometry: old.geometry, isRegistered: false)
            let options = try await sequence.options(new, AttachIntent(), for: nil)
            undo.add("remove the new disk") {
                await DiskFormatter.remove(store: options.store)
                for folder in [options.stateDirectory, options.cacheDirectory] { try Directory.removeTree(folder) }
            }
            try await fill(options, from: try await sequence.options(old, AttachIntent(), for: nil))
            guard job.settle() else { throw JobHandle.cancelled }
            try new.save(in: maker.layout)
            return new
        } catch {
            let wasAsked = !job.settle()
            await undo.run(logger: maker.logger)
            if wasAsked { throw JobHandle.cancelled }
            throw RPCError(
                error.code ?? .internal,
                "The changes of \(old.name) could not be kept as \(name), and are still there: \(error.message)"
            )
        }
    }

    // MARK: Where

    private func request(_ old: DiskConfiguration, _ name: DiskName) throws(RPCError) -> DiskMaker.Request {
        guard let remote = old.remote.sibling(name.text) else {
            throw RPCError(
                .refused,
                "\(old.remote) has no place beside it for \(name); create a disk elsewhere and copy what you need."
            )
        }
        var request = DiskMaker.Request(name: name, remote: remote.redacted)
        if old.cacheDirectory != maker.layout.standardCacheDirectory(of: old.name) {
            let parent = Directory.parent(of: old.cacheDirectory) ?? old.cacheDirectory
            request.cacheDirectory = "\(parent == "/" ? "" : parent)/\(name)"
        }
        request.cacheBytes = old.cacheBytes
        request.credentials = old.credentials
        request.durability = old.durability
        request.uploadIntervalSeconds = old.uploadIntervalSeconds
        request.cachePolicy = old.cachePolicy
        return request
    }

    /// What fails half-way is removed, so nothing of others may lie there.
    private func checkIsEmpty(_ folder: String) throws(RPCError) {
        guard Directory.exists(folder) else { return }
        guard let names = try? Directory.list(folder), names.isEmpty else {
            throw RPCError(.exists, "The folder \(folder) is not empty; choose another name, or remove it.")
        }
    }

    // MARK: The copy

    private func fill(_ new: DiskOptions, from old: DiskOptions) async throws(RPCError) {
        do throws(DiskError) {
            let target = try await Disk.attach(new)
            sequence.start(target)
            do throws(DiskError) {
                try await fill(target, from: old)
            } catch {
                try? await target.stop(commit: false)
                throw error
            }
            try await target.stop(commit: true, releasing: true)
        } catch {
            throw RPCError(error)
        }
    }

    private func fill(_ target: Disk, from old: DiskOptions) async throws(DiskError) {
        let source = try await Disk.openLocal(old)
        sequence.start(source)
        job.report(phase: "copying the local changes to a new disk")
        job.allowCancelling()
        let result = await copyUnlessStopping(source, target)
        try? await source.stop(commit: false)
        try result.get()
    }

    private func copyUnlessStopping(_ source: Disk, _ target: Disk) async -> Result<Void, DiskError> {
        await withTaskGroup(of: Result<Void, DiskError>?.self) { group in
            group.addTask { await copy(source, target) }
            group.addTask {
                while !job.isAsked, await !isStopping() {
                    do { try await Task.sleep(for: .milliseconds(200)) } catch { return nil }
                }
                // The copy's next sync, or the one that it waits for, then fails.
                target.abandonUploads()
                return nil
            }
            var result: Result<Void, DiskError>?
            while result == nil, let next = await group.next() { result = next }
            group.cancelAll()
            return result ?? .failure(DiskError(.busy, "The daemon is stopping; try again when it is back."))
        }
    }

    private func copy(_ source: Disk, _ target: Disk) async -> Result<Void, DiskError> {
        let synced = Atomic<UInt64>(0)
        let total = source.allocatedBytes
        job.report(done: 0, of: total, .bytes)
        let step = target.cacheBytes / Self.dirtyShare
        do throws(DiskError) {
            try await source.copy(to: target) { (copied) async throws(DiskError) in
                job.report(done: copied)
                if job.isAsked { throw DiskError(.busy, JobHandle.cancelled.message) }
                guard copied - synced.load(ordering: .relaxed) >= step else { return }
                synced.store(copied, ordering: .relaxed)
                try await target.sync()
            }
            try await target.sync()
            return .success(())
        } catch {
            return .failure(error)
        }
    }
}
