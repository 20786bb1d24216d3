internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveMetadata
internal import VDriveModel

/// Taking up what an earlier run left in the cache (ordering rules 3 and 4). Runs before anything is served.
extension CacheActor {
    /// - Parameters:
    ///   - records: what LMDB says.
    ///   - isClean: the last stop recorded everything; otherwise clean chunks are checked or dropped, dirty ones are
    ///     true as recorded, and the rest of the cache is punched.
    ///   - dropsClean: another machine has written since: nothing clean is kept.
    ///   - rules: what earlier runs were told to pin.
    func recover(
        _ records: [(ChunkIndex, PageRecord)],
        pinning rules: [PinRule],
        isClean: Bool,
        dropsClean: Bool
    ) async throws(DiskError) {
        let isClean = isClean || Faults.breaks(.rule3Trust)
        try await Faults.at(.recoverBeforeCache)
        do throws(Errno) {
            let cache = plane.cache
            try await onDisk { () throws(Errno) in
                try cache.openExisting()
                if !isClean { try cache.dropPageCache() }
            }
        } catch {
            throw DiskError(.configuration, "The cache at \(plane.cache.directory) cannot be opened: \(error).")
        }
        // The limit in force decides what may be pinned.
        await recount()
        adoptPins(rules)
        var kept: [ChunkIndex: PageRecord] = [:]
        var dropped: [ChunkIndex] = []
        for (chunk, record) in records {
            let isTrue = record.isDirty || (!dropsClean && (isClean || record.present.isFull))
            if isTrue { kept[chunk] = record } else { dropped.append(chunk) }
        }
        if !dropped.isEmpty { try await bitmap.forget(dropped) }
        if !isClean || dropsClean { try await punchUnrecorded(kept) }
        for (chunk, record) in kept.sorted(by: { $0.key < $1.key }) { takeUp(chunk, record, isClean: isClean) }
        for (chunk, record) in kept { noteRecorded(chunk, record) }
        await recount()
        try await Faults.at(.recoverAfterCache)
        logger.info(
            "cache taken up",
            metadata: [
                "chunks": "\(kept.count)", "dirty": "\(dirty.count)", "unverified": "\(unverified.count)",
                "dropped": "\(dropped.count)", "holes": "\(sweptHoles)",
            ]
        )
    }

    private func takeUp(_ chunk: ChunkIndex, _ record: PageRecord, isClean: Bool) {
        if record.isDirty {
            let slot = takeSlot()
            let epoch = Epoch(plane.epoch.load(ordering: .sequentiallyConsistent))
            plane.pages.reset(slot, chunk: chunk, epoch: epoch, present: record.present, dirty: record.dirty)
            plane.counters.dirtyPages.add(record.dirty.count, ordering: .relaxed)
            dirty.insert(chunk)
            let presence: ChunkWord.Presence = record.present.isFull ? .full : .partial
            plane.table.update(chunk) { $0.becoming(presence, dirty: true, slot: slot) }
        } else if !isClean {
            unverified.insert(chunk)
        } else if record.present.isFull {
            plane.table.update(chunk) { $0.becoming(.full, dirty: false, slot: 0) }
            adopt(chunk)
        } else {
            let slot = takeSlot()
            let none = PageSet(pageCount: geometry.pagesPerChunk)
            plane.pages.reset(slot, chunk: chunk, epoch: Epoch(0), present: record.present, dirty: none)
            plane.table.update(chunk) { $0.becoming(.partial, dirty: false, slot: slot) }
            adopt(chunk)
        }
    }

    /// Punches whatever the cache holds beside the recorded pages: what the files have no bytes of is holes already.
    private func punchUnrecorded(_ kept: [ChunkIndex: PageRecord]) async throws(DiskError) {
        let cache = plane.cache
        let geometry = geometry
        do throws(Errno) {
            sweptHoles = try await onDisk { () throws(Errno) in
                var count = 0
                try cache.allocatedRanges { (range) throws(Errno) in
                    for hole in Self.unrecorded(range, kept, geometry) {
                        try cache.punch(at: hole.lowerBound, count: hole.count)
                        count += 1
                        try Faults.atBlocking(.recoverWhilePunching)
                    }
                }
                return count
            }
        } catch {
            throw DiskError(.internal, "The cache at \(cache.directory) could not be swept: \(error).")
        }
    }

    /// What of a byte range no record speaks of. A chunk whose pages are scattered is asked about once for each of
    /// them, so this must cost the range, and not the chunk.
    private static func unrecorded(
        _ range: Range<UInt64>,
        _ kept: [ChunkIndex: PageRecord],
        _ geometry: DiskGeometry
    ) -> [Range<UInt64>] {
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        var holes: [Range<UInt64>] = []
        var chunk = geometry.chunk(at: range.lowerBound)
        while geometry.offset(of: chunk) < range.upperBound {
            let start = geometry.offset(of: chunk)
            let own = range.clamped(to: start..<start + UInt64(geometry.chunkBytes))
            if let record = kept[chunk] {
                // Blocks may be smaller than pages.
                var pages = PageSet(pageCount: geometry.pagesPerChunk)
                pages.insert(geometry.pages(touchedBy: Int(own.lowerBound - start)..<Int(own.upperBound - start)))
                for run in pages.subtracting(record.present).runs {
                    let bytes = start + UInt64(run.lowerBound) * pageBytes..<start + UInt64(run.upperBound) * pageBytes
                    holes.append(bytes.clamped(to: own))
                }
            } else {
                holes.append(own)
            }
            chunk = ChunkIndex(chunk.rawValue + 1)
        }
        return holes
    }

    /// The number that the next epoch has, once it is known: all that is dirty belongs to it. Nothing was sealed yet.
    func renumber(to epoch: Epoch) {
        precondition(sealed.isEmpty, "an epoch is in flight")
        plane.epoch.store(epoch.rawValue, ordering: .sequentiallyConsistent)
        // A writer in between sees another epoch than its slot's and comes here.
        for chunk in dirty { plane.pages.setEpoch(plane.table.load(chunk).slot, epoch) }
    }

    var hasDirty: Bool { !dirty.isEmpty }

    /// Checks what an unclean stop left, half of the time, so that the next stop can be a clean one.
    func verifyInBackground() async {
        while !Task.isCancelled, let chunk = unverified.first {
            let start = ContinuousClock.now
            do throws(DiskError) {
                try await verify(chunk)
                await pause(start.duration(to: .now))
            } catch {
                await pause(EngineLimits.refusedRetry)
            }
        }
    }

    /// Everything that is dirty, for a stop that records it; nothing may write any more.
    func recordAll() async throws(DiskError) {
        await punchAgain()
        await lockRecording()
        defer { recording.release() }
        // In debug builds, so at the end of every test that detaches.
        assert(
            {
                checkInvariants(); return true
            }()
        )
        try await record(MetadataBatch(), notesAllDirt: true)
    }

    /// The notes' invariants, for tests and debug builds.
    func checkInvariants() {
        for chunk in dirty {
            let word = plane.table.load(chunk)
            precondition(word.isDirty && word.slot != 0, "\(chunk) is filed as dirty but is not")
            precondition(plane.pages.chunk(word.slot) == chunk, "\(chunk) has somebody else's page set")
        }
        for chunk in sealed.keys { precondition(dirty.contains(chunk), "\(chunk) is sealed but not dirty") }
        precondition(trimmed.isSubset(of: dirty), "a chunk counts as trimmed that is not dirty")
        precondition(recordedWhole.isSubset(of: recorded), "a chunk counts as recorded whole that is not recorded")
        precondition(recordedWhole.isSubset(of: dirty), "LMDB would say of a clean chunk that it is dirty")
        precondition(
            sealedDirty.keys.allSatisfy { sealed[$0] != nil },
            "pages are noted as sealed of a chunk that is not"
        )
        let choosable = Set(policy.chunks)
        var chunks = choosable.union(recorded)
        pins.forEachChunk { chunks.insert($0) }
        for chunk in chunks where !locks.isHeld(chunk) && !unverified.contains(chunk) {
            let word = plane.table.load(chunk)
            let mayGo = word.isResident && !word.isDirty && loosePages(chunk) != nil
            precondition(choosable.contains(chunk) == mayGo, "\(chunk) and the cache policy do not know each other")
        }
    }
}
