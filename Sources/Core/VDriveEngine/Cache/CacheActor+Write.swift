internal import Glibc
internal import Linux
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

extension CacheActor {
    /// Writes to one chunk: the first write to it in an epoch, or one that found no room on the FUSE thread.
    ///
    /// It never waits for the network, but for an edge page that is not there and for room.
    ///
    /// - Throws: `DiskError` when the cache's filesystem fails otherwise than by being full, an edge page cannot be
    /// had, or there is no room and will be none.
    func write(_ part: ChunkPart, _ source: WriteSource) async throws(DiskError) {
        let touched = geometry.pages(touchedBy: part.bytes)
        var hasWaited = false
        while true {
            if let broken { throw broken }
            if unverified.contains(part.chunk), try await !verifyForWriter(part.chunk) { continue }
            try await bringInEdges(part, touched)
            try await makeRoom(pages: touched.count)
            await lock(part.chunk)
            let outcome = await writeLocked(part, touched, source)
            unlock(part.chunk)
            switch outcome {
            case .done:
                if hasWaited { await lookAtSpace() }
                return
            case .retry: continue
            case .noSpace:
                hasWaited = true
                try await waitForSpace(pages: touched.count)
            case .noRoom: try await makeRoomForCopy(written: touched.count)
            case .failed(let error): throw error
            }
        }
    }

    /// A turn at making room for a sealed chunk's copy; whoever comes first takes it.
    ///
    /// No more than a turn: once the uploader has read the chunk there is nothing to copy, and where much is pinned
    /// there may never be room for it.
    ///
    /// - Parameter written: pages that take room beside the copy.
    private func makeRoomForCopy(written: Int = 0) async throws(DiskError) {
        let pages = geometry.pagesPerChunk + written
        await recount()
        if plane.counters.freePages.load(ordering: .relaxed) >= pages { return }
        if await evictOnce(lacking: pages) == 0 { try await waitForUploads() }
    }

    private enum WriteOutcome {
        case done
        case retry
        case noSpace
        /// What the write would destroy of a sealed chunk has no place within the limit.
        case noRoom
        case failed(DiskError)
    }

    /// A write that begins or ends inside a page keeps the rest of that page, so it must be there first.
    private func bringInEdges(_ part: ChunkPart, _ touched: Range<Int>) async throws(DiskError) {
        let covered = geometry.pages(coveredBy: part.bytes)
        guard covered != touched else { return }
        for edge in Set([touched.lowerBound, touched.upperBound - 1]) where !covered.contains(edge) {
            let bytes = edge * DiskGeometry.pageBytes..<(edge + 1) * DiskGeometry.pageBytes
            if case .pinned = try await pinResident(ChunkPart(chunk: part.chunk, bytes: bytes)) { unpin(part.chunk) }
        }
    }

    private func hasEdges(_ part: ChunkPart, _ touched: Range<Int>, _ word: ChunkWord) -> Bool {
        let covered = geometry.pages(coveredBy: part.bytes)
        if covered == touched { return true }
        switch word.presence {
        case .full, .hole: return true
        case .unknown: return false
        case .partial:
            let edges = [touched.lowerBound, touched.upperBound - 1].filter { !covered.contains($0) }
            return edges.allSatisfy { plane.pages.hasPresent(word.slot, $0..<$0 + 1) }
        }
    }

    /// The caller holds the lock and has reserved room for every page.
    private func writeLocked(
        _ part: ChunkPart,
        _ touched: Range<Int>,
        _ source: WriteSource
    ) async -> WriteOutcome {
        let chunk = part.chunk
        var used = 0
        defer { release(pages: touched.count, used: used) }
        do throws(DiskError) {
            try await becomeDirty(chunk, overwriting: touched)
        } catch {
            switch error.kind {
            case .outOfSpace: return .noSpace
            case .busy: return .noRoom
            default: return .failed(error)
            }
        }
        let word = plane.table.load(chunk)
        guard hasEdges(part, touched, word) else { return .retry }
        let offset = geometry.offset(of: chunk) + UInt64(part.bytes.lowerBound)
        let count = part.bytes.count
        let cache = plane.cache
        do throws(Errno) {
            try await onDisk { () throws(Errno) in try cache.write(source.bytes(count), at: offset) }
        } catch {
            // Closed, so that no hit fills a page between the look at it and its punch.
            await close(chunk)
            let present = plane.pages.present(word.slot)
            await punchAbsent(chunk, touched.filter { !present.contains($0) }.map { $0..<$0 + 1 })
            open(chunk)
            let trouble = writeTrouble(error, "could not take a write")
            return trouble.kind == .outOfSpace ? .noSpace : .failed(trouble)
        }
        used = noteWritten(chunk, word.slot, touched)
        return .done
    }

    /// - Returns: pages that were not dirty before.
    private func noteWritten(_ chunk: ChunkIndex, _ slot: Int, _ pages: Range<Int>) -> Int {
        let newlyDirty = plane.pages.insert(slot, pages, dirty: true)
        plane.counters.dirtyPages.add(newlyDirty, ordering: .relaxed)
        changed.insert(chunk)
        if case .overwritten? = sealed[chunk] {
            rewritten[chunk, default: PageSet(pageCount: geometry.pagesPerChunk)].insert(pages)
        }
        if plane.table.load(chunk).presence == .partial,
            plane.pages.hasPresent(slot, 0..<geometry.pagesPerChunk)
        {
            plane.table.update(chunk) { $0.becoming(.full, dirty: true, slot: slot) }
        }
        wantEpochWhenManyDirty()
        return newlyDirty
    }

    func wantEpochWhenManyDirty() {
        let dirtyBytes = plane.counters.dirtyPages.load(ordering: .relaxed) * DiskGeometry.pageBytes
        if dirtyBytes > Int(limitBytes) / EngineLimits.dirtyShare { events.yield(.wantsEpoch) }
    }

    /// Makes a chunk dirty in the current epoch, preserving its sealed bytes if the uploader has not read them yet.
    ///
    /// The caller holds the lock. Afterwards the word is dirty and open, and writes on FUSE threads may hit.
    ///
    /// - Parameter overwriting: the pages about to be written; nil for more than pages, or for all of them.
    func becomeDirty(_ chunk: ChunkIndex, overwriting: Range<Int>?) async throws(DiskError) {
        let word = plane.table.load(chunk)
        if word.isDirty {
            if plane.pages.epoch(word.slot).rawValue != plane.epoch.load(ordering: .sequentiallyConsistent) {
                try await writeBesideSealed(chunk, word.slot, overwriting)
            }
            return
        }
        var base = BitmapActor.LocalEntry.unknown
        if word.presence == .unknown { base = await bitmap.localEntry(of: chunk) }
        // From here on absent pages of such a chunk are zeros.
        if word.presence == .hole || base == .unallocated { try await punchRest(of: chunk) }
        do throws(Errno) {
            let cache = plane.cache
            let offset = geometry.offset(of: chunk)
            if cache.place(of: offset) == nil {
                _ = try await onDisk { () throws(Errno) in try cache.open(for: offset) }
            }
        } catch {
            throw writeTrouble(error, "could not be opened for writing")
        }
        let pageCount = geometry.pagesPerChunk
        let none = PageSet(pageCount: pageCount)
        // From here to the end nothing else runs.
        let epoch = Epoch(plane.epoch.load(ordering: .sequentiallyConsistent))
        noteWriteBegins(chunk)
        let now = plane.table.load(chunk)
        var presence = now.presence
        var slot = now.slot
        switch presence {
        case .hole, .full:
            slot = takeSlot()
            plane.pages.reset(slot, chunk: chunk, epoch: epoch, present: PageSet(full: pageCount), dirty: none)
            if presence == .hole { noteAllocated(1) }
            presence = .full
        case .unknown:
            slot = takeSlot()
            let zeroBase = base == .unallocated
            let present = zeroBase ? PageSet(full: pageCount) : none
            plane.pages.reset(slot, chunk: chunk, epoch: epoch, present: present, dirty: none)
            if zeroBase { noteAllocated(1) }
            presence = zeroBase ? .full : .partial
        case .partial:
            plane.pages.setEpoch(slot, epoch)
        }
        policy.suspend(chunk)
        if dirty.insert(chunk).inserted { dirtySince[chunk] = .now }
        changed.insert(chunk)
        plane.table.update(chunk) { $0.becoming(presence, dirty: true, slot: slot) }
    }

    /// The first write of an epoch is an access; those that hit note themselves. What is new takes room from the rest.
    private func noteWriteBegins(_ chunk: ChunkIndex) {
        if plane.table.load(chunk).isResident {
            let tick = plane.clock.load(ordering: .relaxed)
            plane.table.update(chunk) { $0.accessed(tick: tick) }
        } else {
            passTime(pages: geometry.pagesPerChunk)
            begin(chunk)
        }
    }

    /// An estimate between commits: of a chunk that another run left dirty, or that only the remote knows, nothing was
    /// counted when it began. It never runs below zero.
    func noteAllocated(_ chunks: Int) {
        if chunks >= 0 {
            plane.counters.allocatedBytes.add(UInt64(chunks * geometry.chunkBytes), ordering: .relaxed)
        } else {
            let counted = plane.counters.allocatedBytes.load(ordering: .relaxed)
            let less = min(counted, UInt64(-chunks * geometry.chunkBytes))
            plane.counters.allocatedBytes.subtract(less, ordering: .relaxed)
        }
    }

    // MARK: Deallocation

    /// Makes a range of one chunk zeros and gives its space back.
    func deallocate(_ part: ChunkPart) async throws(DiskError) {
        let chunk = part.chunk
        let covered = geometry.pages(coveredBy: part.bytes)
        try await zeroEdges(part, covered)
        guard !covered.isEmpty else { return }
        while true {
            if let broken { throw broken }
            do throws(DiskError) {
                return try await deallocate(covered, of: chunk)
            } catch {
                // A sealed chunk's copy found no place.
                switch error.kind {
                case .outOfSpace: try await waitForSpace(pages: covered.count)
                case .busy: try await makeRoomForCopy()
                default: throw error
                }
            }
        }
    }

    private func deallocate(_ covered: Range<Int>, of chunk: ChunkIndex) async throws(DiskError) {
        if unverified.contains(chunk) { try await verify(chunk) }
        let isWhole = covered.count == geometry.pagesPerChunk
        if plane.table.load(chunk).presence == .unknown {
            // Only what exists must be taken away.
            guard try await remote.entry(for: chunk) != nil || dirty.contains(chunk) else { return }
        }
        await lock(chunk)
        defer { unlock(chunk) }
        guard plane.table.load(chunk).presence != .hole else { return }
        try await becomeDirty(chunk, overwriting: nil)
        await close(chunk)
        defer { open(chunk) }
        let word = plane.table.load(chunk)
        do throws(Errno) { try await punch(chunk, [covered]) } catch {
            throw writeTrouble(error, "could not be trimmed")
        }
        if isWhole { unpunched.remove(chunk) }
        noteZeros(chunk, word.slot, covered)
        if isWhole || plane.pages.hasPresent(word.slot, 0..<geometry.pagesPerChunk) {
            plane.table.update(chunk) { $0.becoming(.full, dirty: true, slot: word.slot) }
        }
    }

    private func zeroEdges(_ part: ChunkPart, _ covered: Range<Int>) async throws(DiskError) {
        let pageBytes = DiskGeometry.pageBytes
        var edges: [Range<Int>] = []
        if covered.isEmpty {
            edges = [part.bytes]
        } else {
            edges.append(part.bytes.lowerBound..<covered.lowerBound * pageBytes)
            edges.append(covered.upperBound * pageBytes..<part.bytes.upperBound)
        }
        for edge in edges where !edge.isEmpty {
            try await write(ChunkPart(chunk: part.chunk, bytes: edge), .zeros)
        }
    }
}
