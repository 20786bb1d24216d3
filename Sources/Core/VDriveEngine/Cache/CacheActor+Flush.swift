internal import Linux
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel

/// Ordering rule 1: fdatasync, then the LMDB commit that records the pages, then the replies. Who waits together shares
/// one.
extension CacheActor {
    /// What a waiting flush is woken with.
    enum FlushTurn: Sendable {
        case done(Result<Void, DiskError>)
        /// Nobody drives: this waiter runs the next cycle, for itself and for the others.
        case drive([CheckedContinuation<FlushTurn, Never>])
    }

    /// Makes every write that was answered before durable on this machine.
    func flush() async throws(DiskError) {
        var followers: [CheckedContinuation<FlushTurn, Never>] = []
        if isFlushing {
            switch await withCheckedContinuation({ flushWaiters.append($0) }) {
            case .done(let result): return try result.get()
            case .drive(let others): followers = others
            }
        }
        isFlushing = true
        let result = await cycle()
        for follower in followers { follower.resume(returning: .done(result)) }
        // Those who came during the cycle need one of their own: the first of them drives it.
        if flushWaiters.isEmpty {
            isFlushing = false
        } else {
            let next = flushWaiters.removeFirst()
            let others = flushWaiters
            flushWaiters = []
            next.resume(returning: .drive(others))
        }
        try result.get()
    }

    private func cycle() async -> Result<Void, DiskError> {
        flushCycles += 1
        while true {
            do throws(DiskError) {
                try await recordChanges()
                warnings.clear(.metadataFull)
                return .success(())
            } catch {
                if error.kind != .outOfSpace || hasGivenUpUploads { return .failure(error) }
                await waitForMetadataSpace(error)
            }
        }
    }

    private func recordChanges() async throws(DiskError) {
        await lockRecording()
        defer { recording.release() }
        try await record(MetadataBatch())
    }

    /// Writes the records of all changed chunks, and what else the batch holds, after an fdatasync. With nothing to
    /// record it is the fdatasync alone. The caller holds the recording lock.
    ///
    /// - Parameters:
    ///   - committed: what a commit says of the sealed chunks; they are recorded as it leaves them.
    ///   - notesAllDirt: also writes records that differ in dirty pages alone, of chunks that a recovery would take as
    ///     they are. Flushes leave them out: a journal or a database brings a new page with each of its syncs.
    func record(
        _ batch: MetadataBatch,
        committed: [CommitEntry] = [],
        notesAllDirt: Bool = false
    ) async throws(DiskError) {
        if let broken { throw broken }
        // FUSE threads set bits all the time. Chunks come off their list before any bit of them is looked at, so that
        // what a record does not show is listed for the next one.
        var chunks = takeChanged()
        if notesAllDirt { chunks.formUnion(underRecorded) }
        var batch = batch
        // The snapshot comes before the fdatasync: a bit is set after its bytes are in the file, so that what the
        // snapshot shows is durable when the fdatasync has returned (rule 3).
        for change in committed where sealed[change.chunk] != nil {
            batch.record(change.chunk, committedRecord(of: change))
        }
        for chunk in chunks where batch.pages[chunk] == nil {
            let word = plane.table.load(chunk)
            if !notesAllDirt, word.isDirty, word.presence == .full, recordedWhole.contains(chunk) {
                underRecorded.insert(chunk)
            } else {
                batch.record(chunk, pageRecord(of: chunk))
            }
        }
        for case (let chunk, let record?) in batch.pages {
            let slot = plane.table.load(chunk).slot
            if slot != 0 { plane.pages.setNoted(slot, record.present) }
        }
        do throws(DiskError) {
            try await syncAndApply(batch)
        } catch {
            changed.formUnion(chunks)
            changed.formUnion(batch.pages.keys)
            throw error
        }
        for (chunk, record) in batch.pages {
            noteRecorded(chunk, record)
            // What a trim has made of it meanwhile is not what was recorded.
            if changed.contains(chunk) { recordedWhole.remove(chunk) }
        }
    }

    private func takeChanged() -> Set<ChunkIndex> {
        var chunks = changed
        changed = []
        for slot in plane.pages.takeChanged() {
            let chunk = plane.pages.chunk(slot)
            // A slot that was freed since is no longer anybody's.
            if chunk.rawValue < geometry.chunkCount, plane.table.load(chunk).slot == slot { chunks.insert(chunk) }
        }
        return chunks
    }

    /// LMDB says so of a chunk, durably.
    func noteRecorded(_ chunk: ChunkIndex, _ record: PageRecord?) {
        underRecorded.remove(chunk)
        if record == nil { recorded.remove(chunk) } else { recorded.insert(chunk) }
        if let record, record.isDirty, record.present.isFull {
            recordedWhole.insert(chunk)
        } else {
            recordedWhole.remove(chunk)
        }
    }

    private func syncAndApply(_ batch: MetadataBatch) async throws(DiskError) {
        let cache = plane.cache
        let bitmap = bitmap
        let receipt: DataSyncReceipt
        do throws(Errno) {
            receipt = try await threads.run { () throws(Errno) in
                try Faults.atBlocking(.flushBeforeDataSync)
                if Faults.breaks(.rule1) { return cache.receiptWithoutSync() }
                return try cache.sync()
            }
        } catch {
            throw breakDown("The cache at \(cache.directory) could not be made durable: \(error).")
        }
        try await Faults.at(.flushAfterDataSync, failing: .internal)
        if batch.isEmpty { return }
        do throws(DiskError) {
            try await bitmap.apply(batch, after: receipt)
        } catch {
            throw error.kind == .outOfSpace ? error : breakDown(error.message)
        }
        try await Faults.at(.flushAfterMetadata, failing: .internal)
    }

    /// What LMDB should say of a chunk now; nil when it should say nothing.
    func pageRecord(of chunk: ChunkIndex) -> PageRecord? {
        let word = plane.table.load(chunk)
        guard word.isResident else { return nil }
        var dirty = PageSet(pageCount: geometry.pagesPerChunk)
        var present = PageSet(full: geometry.pagesPerChunk)
        if word.slot != 0 {
            present = plane.pages.present(word.slot)
            if word.isDirty { dirty = plane.pages.dirty(word.slot) }
        }
        if let also = sealedDirty[chunk] { dirty.formUnion(also) }
        return PageRecord(present: present, dirty: dirty, isDirty: word.isDirty)
    }
}
