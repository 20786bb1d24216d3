internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

/// Deletes objects that no kept commit refers to.
///
/// LMDB learns of garbage in the transaction that records the commit which made it garbage, so only after that commit
/// has counted. A failed delete is tried again after the next commit.
struct GarbageCollector: Sendable {
    let bitmap: BitmapActor
    let store: any ObjectStore
    /// Seconds since 1970.
    let now: @Sendable () -> UInt64

    /// One round of deletes after a commit. What died with the head itself is left: somebody may just be attaching from
    /// the commit before it.
    ///
    /// - Parameter isWanted: whether somebody waits for what comes after this; the rest then goes with a later round.
    func collect(
        keepingCommitBefore head: Epoch,
        unless isWanted: @escaping @Sendable () async -> Bool
    ) async {
        guard head.rawValue > 1 else { return }
        _ = await round(diedBy: Epoch(head.rawValue - 1), unless: isWanted)
    }

    /// Deletes everything that the head does not need; at a detach, when no further commit will come by.
    func sweep(head: Epoch) async {
        for _ in 0..<EngineLimits.sweepRoundsMax {
            if await round(diedBy: head, unless: { false }) == 0 { return }
        }
    }

    /// - Returns: objects deleted.
    private func round(
        diedBy epoch: Epoch,
        unless isWanted: @escaping @Sendable () async -> Bool
    ) async -> Int {
        guard let records = try? await bitmap.garbage(diedBy: epoch, limit: EngineLimits.deletesPerRound, now: now()),
            !records.isEmpty
        else { return 0 }
        let deleted = await withTaskGroup(of: GarbageRecord?.self) { group in
            var deleted: [GarbageRecord] = []
            var next = records.makeIterator()
            for _ in 0..<EngineLimits.parallelDeletes {
                if let record = next.next() { group.addTask { await delete(record) } }
            }
            while let result = await group.next() {
                // The first refusal ends the round: the next would only be refused too.
                guard let result else { continue }
                deleted.append(result)
                if await isWanted() { continue }
                if let record = next.next() { group.addTask { await delete(record) } }
            }
            return deleted
        }
        guard !deleted.isEmpty else { return 0 }
        guard await Faults.passes(.garbageAfterDeletes) else { return 0 }
        var batch = MetadataBatch()
        batch.deletedGarbage = deleted
        try? await bitmap.note(batch)
        return deleted.count
    }

    private func delete(_ record: GarbageRecord) async -> GarbageRecord? {
        guard await Faults.passes(.garbageBeforeDelete) else { return nil }
        do throws(StoreError) {
            try await store.delete(record.name)
            return record
        } catch {
            return nil
        }
    }
}
