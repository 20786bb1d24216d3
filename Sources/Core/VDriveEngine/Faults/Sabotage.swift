internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

// What the engine does wrong when a test has an ordering rule broken (`Faults.breaks`), where that is more than one
// line. Nothing here runs otherwise; each function is called at one place, that of the rule.

extension CacheActor {
    /// Rule 2 broken: the bytes go while LMDB still speaks of them.
    func punchTooEarly(_ leaving: [Leaving]) async throws(DiskError) {
        for one in leaving { await punchAbsent(one.chunk, one.pages?.runs ?? [0..<geometry.pagesPerChunk]) }
        try await Faults.at(.evictAfterPunch, failing: .internal)
    }

    /// Rule 3 broken: pages are recorded whose bytes no fdatasync has followed.
    func recordWithoutSync() async throws(DiskError) {
        var batch = MetadataBatch()
        for chunk in changed { batch.record(chunk, pageRecord(of: chunk)) }
        try await bitmap.apply(batch, after: plane.cache.receiptWithoutSync())
    }

    /// Rule 7 broken: an uploaded chunk may be evicted although nothing durable names its object.
    func cleanTooEarly(_ chunk: ChunkIndex) async {
        await lock(chunk)
        defer { unlock(chunk) }
        let word = plane.table.load(chunk)
        dirty.remove(chunk)
        plane.table.update(chunk) { $0.becoming(word.presence, dirty: false, slot: word.slot) }
        admit(chunk)
    }
}

extension Attachment {
    /// Rule 4 broken: an unclean start claims nothing, and goes on with the epoch number that it was about to commit.
    func goOnInOldTerm(_ local: Local) async throws(DiskError) -> Outcome? {
        guard Faults.breaks(.rule4), let known = local.known, !known.isClean else { return nil }
        let chain = try await survey(local).chain
        try await bitmap.adopt(chain)
        fence.checkpoint.set(chain.last?.checkpoint)
        return Outcome(superblock: known, isClean: false, dropsClean: false, notices: local.notices)
    }
}

/// Rule 6 broken: chunk objects wait here until the commit object is on the remote.
enum LatePuts {
    private static let waiting = Mutex<[(name: ObjectName, bytes: [UInt8])]>([])

    /// - Returns: whether the object waits, and must not be put now.
    static func takes(_ name: ObjectName, _ bytes: [UInt8]) -> Bool {
        guard Faults.breaks(.rule6), case .chunk? = ObjectRole(path: name.path) else { return false }
        waiting.withLock { $0.append((name, bytes)) }
        return true
    }

    static func deliver(to remote: RemoteActor) async throws(DiskError) {
        guard Faults.breaks(.rule6) else { return }
        let all = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        do throws(StoreError) {
            for (name, bytes) in all { try await remote.store.writes.put(name, bytes) }
        } catch {
            throw DiskError(error)
        }
    }
}
