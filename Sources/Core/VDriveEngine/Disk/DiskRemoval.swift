internal import Linux
internal import VDriveFormat
package import VDriveModel
package import VDriveStore

/// Deleting a disk on its remote, for every machine.
///
/// ## Notes on the design
/// claim the next term · the mark `destroyed` · the descriptor goes · all other objects · the mark goes
///
/// | stopped after | there is | what goes on |
/// |---|---|---|
/// | the claim, or the mark | the whole disk | an attach of this state directory, or another removal |
/// | the descriptor | no disk: nobody can import or attach it, nor make one beside the mark | another removal |
/// | the last object but the mark | the same | another removal |
///
/// The descriptor goes in one step, before anything that it needs: there is no moment at which a disk is there and is
/// not whole. The term is claimed as for an attach, so that an owner elsewhere is noticed; one that was taken over
/// finds the higher term at its next commit, or within a minute.
package struct DiskRemoval: Sendable {
    let store: RemoteStore
    let id: DiskID
    let stateDirectory: String
    let takesOver: Bool
    let softwareVersion: String
    let isStopping: @Sendable () async -> Bool
    let progress: @Sendable (UInt64) async -> Void

    /// - Parameters:
    ///   - id: the disk that is meant; no other is touched.
    ///   - stateDirectory: whose holder claims the term.
    ///   - takesOver: whether a disk goes that somebody else has attached.
    ///   - isStopping: whether to leave off before the end.
    ///   - progress: called now and then with the objects deleted so far.
    package init(
        store: RemoteStore,
        id: DiskID,
        stateDirectory: String,
        takesOver: Bool,
        softwareVersion: String,
        isStopping: @escaping @Sendable () async -> Bool,
        progress: @escaping @Sendable (UInt64) async -> Void
    ) {
        self.store = store
        self.id = id
        self.stateDirectory = stateDirectory
        self.takesOver = takesOver
        self.softwareVersion = softwareVersion
        self.isStopping = isStopping
        self.progress = progress
    }

    /// - Returns: objects deleted, but for the descriptor, the hint and the mark.
    /// - Throws: `refused` when another disk, or another owner, is there; `notFound` when nothing of it is. Otherwise
    ///   what the remote refused: another run goes on from there.
    package func run() async throws(DiskError) -> UInt64 {
        try await checkCanList()
        do throws(DiskError) {
            let descriptor = try await DiskFormatter.open(store: store)
            guard descriptor.disk == id else { throw otherDisk }
            try await take(descriptor)
        } catch {
            guard error.kind == .notFound, try await markedDisk() == id else { throw error }
            // An earlier run has come as far as this.
        }
        try await asking { () async throws(StoreError) in try await store.brief.delete(.descriptor) }
        let sweep = RemoteSweep(store: store.brief, isStopping: isStopping, progress: progress)
        let deleted = try await sweep.run()
        try await asking { () async throws(StoreError) in try await store.brief.delete(.destroyed) }
        return deleted
    }

    private var otherDisk: DiskError {
        DiskError(.refused, "\(store.brief.location) holds another disk now, which is left alone.")
    }

    /// Nothing is changed where the objects cannot be found.
    private func checkCanList() async throws(DiskError) {
        do throws(StoreError) {
            _ = try await store.brief.list(ObjectFolder.commits)
        } catch {
            guard error.kind == .unsupported else { throw DiskError(error) }
            throw DiskError(
                .configuration,
                "\(store.brief.location) cannot list its folders, so that the disk's objects cannot be found; delete "
                    + "the folder there, then destroy the disk without its remote. Nothing was changed."
            )
        }
    }

    /// Makes the disk this machine's own, and marks it.
    private func take(_ descriptor: DiskDescriptor) async throws(DiskError) {
        let claims = TermClaim(store: store.brief, descriptor: descriptor)
        var holder: Holder
        do throws(Errno) {
            try Directory.createAll(stateDirectory)
            holder = try Holder(stateDirectory: stateDirectory)
        } catch {
            throw DiskError(.configuration, "The state directory \(stateDirectory) cannot be used: \(error).")
        }
        let claimed = try await claims.claim(
            above: Term(0),
            by: &holder,
            softwareVersion: softwareVersion,
            takesOver: takesOver
        )
        do throws(DiskError) {
            try await mark()
        } catch {
            if !claimed.wasHeld { try? await claims.release(claimed.term) }
            throw error
        }
    }

    private func mark() async throws(DiskError) {
        let text = Array("\(id)\n".utf8)
        try await asking { () async throws(StoreError) in try await store.brief.put(.destroyed, text) }
        guard try await markedDisk() == id else {
            throw DiskError(.retry, "\(store.brief.location) did not keep what was written; nothing was deleted.")
        }
    }

    /// What disk the mark speaks of; nil when there is none, or it is torn.
    private func markedDisk() async throws(DiskError) -> DiskID? {
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try await store.brief.get(.destroyed, range: nil)
        } catch {
            guard error.kind == .notFound else { throw DiskError(error) }
            return nil
        }
        guard bytes.last == UInt8(ascii: "\n") else { return nil }
        return DiskID(String(decoding: bytes.dropLast(), as: UTF8.self))
    }

    private func asking(_ act: () async throws(StoreError) -> Void) async throws(DiskError) {
        do throws(StoreError) { try await act() } catch { throw DiskError(error) }
    }
}
