internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// Terms: claiming one, and finding out that somebody claimed a higher one.
///
/// Claim-then-read against write-then-look: whoever attaches claims a term and then reads the commits; whoever commits
/// puts the commit and then looks for a higher term. One of the two always sees the other.
final class Fence: Sendable {
    private let store: RemoteStore
    private let descriptor: DiskDescriptor
    private let logger: Logger
    /// The head's checkpoint, which every commit repeats.
    let checkpoint = CheckpointNote()

    init(store: RemoteStore, descriptor: DiskDescriptor, logger: Logger) {
        self.store = store
        self.descriptor = descriptor
        self.logger = logger
    }

    final class CheckpointNote: Sendable {
        private let note = Mutex<Checkpoint?>(nil)
        var current: Checkpoint? { note.withLock { $0 } }
        func set(_ checkpoint: Checkpoint?) { note.withLock { $0 = checkpoint } }
    }

    private var primitive: ClaimPrimitive? { descriptor.claimPrimitive.flatMap { ClaimPrimitive(rawValue: $0) } }
    private var claimIsFolder: Bool { primitive == .makeFolder || primitive == .makeCollection }

    /// Claims the next free term above all that are known.
    func claim(above floor: Term, owner: TermOwner) async throws(DiskError) -> Term {
        var term = max(floor, try await highestTerm(from: floor)).next
        do throws(StoreError) {
            while true {
                if let primitive {
                    guard try await won(term, primitive) else {
                        term = term.next
                        continue
                    }
                }
                let name = ObjectName.termOwner(term, claimIsFolder: claimIsFolder)
                try await store.brief.put(name, owner.encode())
                let found = try await store.brief.get(name, range: nil)
                if found == owner.encode() { return term }
                term = term.next
            }
        } catch {
            throw DiskError(error)
        }
    }

    private func won(_ term: Term, _ primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        do throws(StoreError) {
            return try await store.brief.claim(.term(term), with: primitive)
        } catch  where error.kind == .uncertain {
            // Perhaps ours, perhaps not: a term is cheap, so the next one is taken.
            return false
        }
    }

    /// A term higher than the given one that somebody has claimed, or nil.
    func higherTerm(than term: Term) async throws(DiskError) -> Term? {
        let highest = try await highestTerm(from: term)
        return highest > term ? highest : nil
    }

    private func highestTerm(from floor: Term) async throws(DiskError) -> Term {
        do throws(StoreError) {
            do throws(StoreError) {
                let listed = try await store.brief.list(ObjectFolder.terms)
                return listed.compactMap { Self.term($0.name) }.max() ?? Term(0)
            } catch  where error.kind == .unsupported {
                // No listing: the next terms are asked for one by one. A claim without its owner record yet is not seen
                // here; the claimer reads the commits after it wrote the record.
                var highest = floor
                var candidate = floor.next
                while candidate.rawValue <= highest.rawValue + 4 {
                    let name = ObjectName.termOwner(candidate, claimIsFolder: claimIsFolder)
                    if try await store.brief.length(of: name) != nil { highest = candidate }
                    candidate = candidate.next
                }
                return highest
            }
        } catch {
            throw DiskError(error)
        }
    }

    private static func term(_ name: String) -> Term? {
        switch ObjectRole(path: "\(ObjectFolder.terms)/\(name)") {
        case .term(let term), .termOwner(let term): term
        default: nil
        }
    }

    // MARK: The head

    /// The state: the highest epoch of the highest term that has a commit; nil for a disk without one.
    func head() async throws(DiskError) -> ObjectVersion? {
        do throws(StoreError) {
            do throws(StoreError) {
                let listed = try await store.brief.list(ObjectFolder.commits)
                return listed.compactMap { Self.commit($0.name) }.max()
            } catch  where error.kind == .unsupported {
                return try await probeHead()
            }
        } catch {
            throw DiskError(error)
        }
    }

    private static func commit(_ name: String) -> ObjectVersion? {
        if case .commit(let version) = ObjectRole(path: "\(ObjectFolder.commits)/\(name)") { return version }
        return nil
    }

    /// Without a listing: from the hint on, the next epoch in this term and in the ones above.
    private func probeHead() async throws(StoreError) -> ObjectVersion? {
        var head: ObjectVersion?
        do throws(StoreError) {
            head = LatestHint.decode(try await store.brief.get(.latest, range: nil))?.version
        } catch  where error.kind == .notFound {
            head = nil
        }
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
