internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// What is on the remote beside one's own doing: the head of the disk, and whether somebody claimed a higher term.
///
/// Claim-then-read against write-then-look: whoever attaches claims a term and then reads the commits; whoever commits
/// puts the commit and then looks for a higher term. One of the two always sees the other.
final class Fence: Sendable {
    private let store: RemoteStore
    private let descriptor: DiskDescriptor
    private let logger: Logger
    let claims: TermClaim
    /// The head's checkpoint, which every commit repeats.
    let checkpoint = CheckpointNote()

    init(store: RemoteStore, descriptor: DiskDescriptor, logger: Logger) {
        self.store = store
        self.descriptor = descriptor
        self.logger = logger
        claims = TermClaim(store: store.brief, descriptor: descriptor)
    }

    final class CheckpointNote: Sendable {
        private let note = Mutex<Checkpoint?>(nil)
        var current: Checkpoint? { note.withLock { $0 } }
        func set(_ checkpoint: Checkpoint?) { note.withLock { $0 = checkpoint } }
    }

    /// A term higher than the given one that somebody has claimed, or nil.
    func higherTerm(than term: Term) async throws(DiskError) -> Term? {
        let highest = try await claims.highestTerm(from: term)
        // That one is there: a listing without it says nothing of those above.
        guard highest >= term else {
            throw DiskError(.retry, "\(store.brief.location) does not list the term \(term) that this machine holds.")
        }
        return highest > term ? highest : nil
    }

    // MARK: The head

    /// The state: the highest epoch of the highest term that has a commit; nil for a disk without one.
    func head() async throws(DiskError) -> ObjectVersion? {
        var listed: ObjectVersion?
        var canList = true
        do throws(StoreError) {
            listed = try await store.brief.list(ObjectFolder.commits).compactMap { Self.commit($0.name) }.max()
        } catch {
            guard error.kind == .unsupported else { throw DiskError(error) }
            canList = false
        }
        let hint: ObjectVersion?
        do throws(DiskError) { hint = try await hinted() } catch {
            // Whatever it says, the listing is the better answer.
            guard error.kind == .corrupt, let listed else { throw error }
            return listed
        }
        // A listing that ends before the hint is old, or not whole: the disk would fall back to what is listed, and one
        // of which nothing is listed would begin anew.
        let nothing = ObjectVersion(term: Term(0), epoch: Epoch(0))
        if canList, (hint ?? nothing) <= (listed ?? nothing) { return listed }
        do throws(StoreError) { return try await probeHead(from: hint) } catch { throw DiskError(error) }
    }

    private static func commit(_ name: String) -> ObjectVersion? {
        if case .commit(let version) = ObjectRole(path: "\(ObjectFolder.commits)/\(name)") { return version }
        return nil
    }

    /// Where the search begins; nil before the first commit.
    ///
    /// - Throws: `corrupt` when there is a hint that cannot be read. It says that there are commits, and a search from
    ///   the first epoch on would not find them once a checkpoint has made that one garbage.
    private func hinted() async throws(DiskError) -> ObjectVersion? {
        do throws(ObjectTrouble) {
            return try await store.brief.getDecoded(.latest, logger: logger) { (bytes) throws(FormatError) in
                guard let hint = LatestHint.decode(bytes) else { throw .checksum(.hint) }
                return hint.version
            }
        } catch {
            if case .missing = error { return nil }
            throw DiskError(error, with: .latest)
        }
    }

    /// Without a listing: from the hint on, the next epoch in this term and in the ones above.
    private func probeHead(from hint: ObjectVersion?) async throws(StoreError) -> ObjectVersion? {
        var head = hint
        search: while true {
            let term = head?.term.rawValue ?? 1
            let epoch = Epoch((head?.epoch.rawValue ?? 0) + 1)
            for candidate in (term...term + 8).reversed() {
                let version = ObjectVersion(term: Term(candidate), epoch: epoch)
                if try await store.brief.length(of: .commit(version)) != nil {
                    head = version
                    continue search
                }
            }
            return head
        }
    }

    /// The commits from the head back to its checkpoint, oldest first.
    func chain(to head: ObjectVersion) async throws(DiskError) -> [CommitRecord] {
        var records: [CommitRecord] = []
        var next: ObjectVersion? = head
        let floor: () -> Epoch = { records.first?.checkpoint?.epoch ?? Epoch(0) }
        while let version = next, records.isEmpty || version.epoch >= floor() {
            let name = ObjectName.commit(version)
            let descriptor = descriptor
            do throws(ObjectTrouble) {
                records.append(
                    try await store.brief.getDecoded(name, logger: logger) { (bytes) throws(FormatError) in
                        try CommitRecord.decode(
                            bytes,
                            disk: descriptor.disk,
                            version: version,
                            chunkBytes: descriptor.geometry.chunkBytes
                        )
                    }
                )
            } catch {
                throw DiskError(error, with: name)
            }
            next = records.last?.parent
        }
        return records.reversed()
    }

    /// Leaves word where the newest commit is. Only a hint: a failure is not worth a retry.
    func hint(_ version: ObjectVersion) async {
        do throws(StoreError) {
            try await store.brief.put(.latest, LatestHint(version: version).encode())
        } catch {
            logger.debug("the hint was not written", metadata: ["error": "\(error)"])
        }
    }
}
