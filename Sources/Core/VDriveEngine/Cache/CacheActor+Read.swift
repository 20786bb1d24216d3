internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveModel

extension CacheActor {
    /// What a slow read may count on until it unpins.
    enum Residency: Sendable {
        case zeros
        /// The bytes themselves: there was no room for them in the cache, and nothing is pinned.
        case bypassed(ChunkBuffer)
        /// The pages are in the cache file and the chunk is pinned.
        case pinned
    }

    /// Makes the pages of a range present, fetching what is missing, and pins the chunk.
    ///
    /// - Throws: `DiskError` after the read deadline of the store, or when an object is lost; nothing is pinned then.
    func pinResident(_ part: ChunkPart, for purpose: Purpose = .use) async throws(DiskError) -> Residency {
        let chunk = part.chunk
        let touched = geometry.pages(touchedBy: part.bytes)
        while true {
            if unverified.contains(chunk) {
                do throws(DiskError) { try await verify(chunk) } catch {
                    // A chunk that cannot be dropped from a cache that takes no changes.
                    guard purpose == .read, error.kind == .internal || error.kind == .outOfSpace else { throw error }
                    if let buffer = try await bypass(part) { return .bypassed(buffer) }
                }
                continue
            }
            let word = plane.table.load(chunk)
            switch word.presence {
            case .hole: return .zeros
            case .full, .partial:
                if word.presence == .partial, !plane.pages.hasPresent(word.slot, touched) { break }
                if let seen = plane.table.pin(
                    chunk,
                    writing: false,
                    tick: plane.clock.load(ordering: .relaxed)
                ) {
                    if seen.isMarked { reached(chunk) }
                    return .pinned
                }
                // Closing: wait for the one who changes it.
                await lock(chunk)
                unlock(chunk)
                continue
            case .unknown: break
            }
            if try await bringIn(chunk, touched, for: purpose) { continue }
            switch purpose {
            case .use:
                if let broken { throw broken }
                try await waitForSpace(pages: touched.count)
            case .read: if let buffer = try await bypass(part) { return .bypassed(buffer) }
            case .readAhead: throw DiskError(.retry, "There is no room to read ahead.")
            case .prefetch:
                throw broken
                    ?? DiskError(
                        .outOfSpace,
                        "There is no room in the cache at \(plane.cache.directory): what is in it is dirty or pinned."
                    )
            }
        }
    }

    func unpin(_ chunk: ChunkIndex) { plane.table.unpin(chunk) }

    /// One step nearer to the pages' presence: a hole published, or frames fetched, or somebody else's fetch awaited.
    ///
    /// - Returns: false when there is no room in the cache.
    private func bringIn(
        _ chunk: ChunkIndex,
        _ touched: Range<Int>,
        for purpose: Purpose
    ) async throws(DiskError) -> Bool {
        guard let entry = try await remote.entry(for: chunk) else {
            try await publishZeroBase(chunk)
            return true
        }
        if let lost = entry.lostPages { try checkSound(chunk, touched, lost, entry) }
        let isNarrow = narrow[chunk] == entry.version || entry.lostPages != nil
        let needed = framesMissing(chunk, touched)
        let mine = needed.filter { inFlight[FrameKey(chunk: chunk, frame: $0)] == nil }
        if purpose == .read { missed(chunk, touched, isUnderWay: mine.count < needed.count) }
        if mine.isEmpty {
            if let other = needed.first.map({ FrameKey(chunk: chunk, frame: $0) }), inFlight[other] != nil {
                await withCheckedContinuation { inFlight[other]!.append($0) }
            }
            return true
        }
        // The longest first run is one request; what lies behind a gap is fetched by the next turn of the loop.
        var end = mine[0] + 1
        while !isNarrow, end - mine[0] < mine.count, mine[end - mine[0]] == end { end += 1 }
        do throws(DiskError) {
            return try await fetch(chunk, entry, frames: mine[0]..<end, for: purpose)
        } catch  where error.kind == .corrupt && end - mine[0] > 1 {
            // A damaged frame costs its own pages, not those of its neighbours: from now on one frame at a time.
            if narrow.count >= EngineLimits.narrowChunksMax { narrow = [:] }
            narrow[chunk] = entry.version
            return true
        }
    }

    /// - Throws: `corrupt` when a page of the range is lost, and was not written since.
    func checkSound(
        _ chunk: ChunkIndex,
        _ touched: Range<Int>,
        _ lost: PageSet,
        _ entry: MapEntry
    ) throws(DiskError) {
        let word = plane.table.load(chunk)
        for page in touched where lost.contains(page) {
            if word.presence == .partial, plane.pages.hasPresent(word.slot, page..<page + 1) { continue }
            throw DiskError(.corrupt, "Page \(page) of \(chunk) was lost with an older object of it.")
        }
    }

    /// The frames that hold pages of the range which are not present.
    func framesMissing(_ chunk: ChunkIndex, _ pages: Range<Int>) -> [Int] {
        let word = plane.table.load(chunk)
        let perFrame = geometry.pagesPerFrame
        let first = pages.lowerBound / perFrame
        let last = (pages.upperBound - 1) / perFrame
        return (first...last).filter { frame in
            guard word.presence == .partial else { return word.presence == .unknown }
            let own = max(pages.lowerBound, frame * perFrame)..<min(pages.upperBound, (frame + 1) * perFrame)
            return !plane.pages.hasPresent(word.slot, own)
        }
    }

    /// A chunk without an object: unknown becomes a hole, partial becomes full (its absent pages are zeros in the
    /// file).
    ///
    /// - Throws: when bytes that were left in the file cannot be punched.
    func publishZeroBase(_ chunk: ChunkIndex) async throws(DiskError) {
        await lock(chunk)
        defer { unlock(chunk) }
        // It may have been written, committed and evicted before the lock came; under the lock it stays as it is.
        guard try await remote.entry(for: chunk) == nil else { return }
        let word = plane.table.load(chunk)
        switch word.presence {
        case .unknown where !unverified.contains(chunk):
            plane.table.update(chunk) { $0.becoming(.hole, dirty: false, slot: 0) }
        case .partial:
            await close(chunk)
            do throws(DiskError) { try await punchRest(of: chunk) } catch {
                open(chunk)
                throw error
            }
            changed.insert(chunk)
            if word.isDirty {
                plane.pages.insert(word.slot, 0..<geometry.pagesPerChunk, dirty: false)
            } else {
                freeSlots.append(word.slot)
            }
            let slot = word.isDirty ? word.slot : 0
            plane.table.update(chunk) { $0.becoming(.full, dirty: word.isDirty, slot: slot).closing(false) }
            if !word.isDirty { admit(chunk) }
        case .unknown, .hole, .full: break
        }
    }

    /// Fetches frames that nobody else is fetching, and fills their absent pages.
    ///
    /// - Parameters:
    ///   - entry: what the map says of the chunk right now.
    ///   - transfer: the part of the link that is reserved for them, if it is.
    /// - Returns: false when there is no room in the cache.
    func fetch(
        _ chunk: ChunkIndex,
        _ entry: MapEntry,
        frames: Range<Int>,
        for purpose: Purpose,
        transfer: Int? = nil
    ) async throws(DiskError) -> Bool {
        for frame in frames { inFlight[FrameKey(chunk: chunk, frame: frame)] = [] }
        defer {
            for frame in frames {
                for waiter in inFlight.removeValue(forKey: FrameKey(chunk: chunk, frame: frame)) ?? [] {
                    waiter.resume()
                }
            }
        }
        let reserved = frames.count * geometry.pagesPerFrame
        let hasRoom = noFillBefore == nil && reserve(reserved)
        if !hasRoom {
            if purpose == .use {
                try await makeRoom(pages: reserved)
            } else if await !tryRoom(pages: reserved) {
                return false
            }
        }
        var used = 0
        defer { release(pages: reserved, used: used) }
        // Waiting for room can take several commits, and each may replace the object.
        guard let entry = hasRoom ? entry : try await remote.entry(for: chunk),
            let raw = try await carry(frames, of: chunk, entry, isAhead: purpose == .readAhead, transfer)
        else { return true }
        await lock(chunk)
        defer { unlock(chunk) }
        // Only bytes of the object that is the chunk's base now may be filled in, and only under the lock it stays so.
        guard try await remote.entry(for: chunk)?.version == entry.version else { return true }
        guard
            let filled = await fill(
                chunk,
                frames: frames,
                raw: raw,
                but: entry.lostPages,
                isAhead: purpose == .readAhead
            )
        else { return false }
        used = filled
        plane.counters.noteFill(bytes: filled * DiskGeometry.pageBytes)
        await noteFilled()
        return true
    }

    /// Has frames come over the link, and takes the time.
    private func carry(
        _ frames: Range<Int>,
        of chunk: ChunkIndex,
        _ entry: MapEntry,
        isAhead: Bool,
        _ transfer: Int?
    ) async throws(DiskError) -> ChunkBuffer? {
        let bytes = ChunkObject.frameRange(frames, entry: entry).count
        let transfer = link.begin(transfer, isAhead: isAhead, bytes: bytes, frames: frames.count, at: now)
        var hasArrived = false
        defer {
            link.end(transfer, hasArrived: hasArrived, at: now)
            // The link is free for the next before these are in the cache.
            fetchMoreAhead()
        }
        let raw = try await remote.frames(of: chunk, entry: entry, frames)
        hasArrived = raw != nil
        return raw
    }

    /// Writes fetched bytes to the pages that are not present. The caller holds the lock.
    ///
    /// - Returns: pages filled; nil when the cache's filesystem does not take them.
    private func fill(
        _ chunk: ChunkIndex,
        frames: Range<Int>,
        raw: ChunkBuffer,
        but lost: PageSet?,
        isAhead: Bool
    ) async -> Int? {
        // A first touch after an unclean stop comes before any fetch, so the chunk is none of the unverified.
        await close(chunk)
        let word = plane.table.load(chunk)
        guard word.presence == .unknown || word.presence == .partial else {
            open(chunk)
            return 0
        }
        var absent = PageSet(pageCount: geometry.pagesPerChunk)
        absent.insert(frames.lowerBound * geometry.pagesPerFrame..<frames.upperBound * geometry.pagesPerFrame)
        if word.presence == .partial { absent = absent.subtracting(plane.pages.present(word.slot)) }
        if let lost { absent = absent.subtracting(lost) }
        let runs = absent.runs
        let start = geometry.offset(of: chunk)
        let skipped = frames.lowerBound * geometry.frameBytes
        let cache = plane.cache
        do throws(Errno) {
            try await onDisk { () throws(Errno) in
                for run in runs {
                    let bytes = run.lowerBound * DiskGeometry.pageBytes..<run.upperBound * DiskGeometry.pageBytes
                    let part = UnsafeRawBufferPointer(
                        rebasing: raw.bytes[bytes.lowerBound - skipped..<bytes.upperBound - skipped]
                    )
                    try cache.write(part, at: start + UInt64(bytes.lowerBound))
                }
                try Faults.atBlocking(.fillAfterBytes)
            }
        } catch {
            await punchAbsent(chunk, runs)
            open(chunk)
            noteFillTrouble(error)
            return nil
        }
        publishFill(chunk, word, absent, isAhead: isAhead)
        return absent.count
    }

    private func publishFill(_ chunk: ChunkIndex, _ word: ChunkWord, _ pages: PageSet, isAhead: Bool) {
        changed.insert(chunk)
        let isMarked = isAhead || word.isMarked
        passTime(pages: pages.count)
        if word.presence == .unknown { begin(chunk) }
        if isAhead { noteAhead(chunk, pages: pages.count) }
        let wasClean = !word.isDirty
        // A dirty chunk can be partial without a page: one that was opened for a write that had to wait for its edges.
        if pages.isFull, word.presence == .unknown {
            plane.table.update(chunk) {
                $0.becoming(.full, dirty: false, slot: 0).marked(isMarked).closing(false)
            }
        } else {
            let slot = word.presence == .partial ? word.slot : takeSlot()
            if word.presence == .unknown {
                plane.pages.reset(
                    slot,
                    chunk: chunk,
                    epoch: Epoch(0),
                    present: pages,
                    dirty: PageSet(pageCount: pages.pageCount)
                )
            } else {
                for run in pages.runs { plane.pages.insert(slot, run, dirty: false) }
            }
            let isFull = plane.pages.hasPresent(slot, 0..<geometry.pagesPerChunk)
            if isFull, wasClean {
                freeSlots.append(slot)
                plane.table.update(chunk) {
                    $0.becoming(.full, dirty: false, slot: 0).marked(isMarked).closing(false)
                }
            } else {
                plane.table.update(chunk) {
                    $0.becoming(isFull ? .full : .partial, dirty: word.isDirty, slot: slot)
                        .marked(isMarked).closing(false)
                }
            }
        }
        if wasClean { admit(chunk) }
    }

    /// Checks a clean full chunk that an unclean stop left against its hash, and drops it when it differs (rule 3).
    func verify(_ chunk: ChunkIndex) async throws(DiskError) {
        let entry = try await remote.entry(for: chunk)
        await lock(chunk)
        defer { unlock(chunk) }
        guard unverified.contains(chunk) else { return }
        let hash = try? await contentHash(chunk)
        if let hash, hash == entry?.hash {
            unverified.remove(chunk)
            plane.table.update(chunk) { $0.becoming(.full, dirty: false, slot: 0) }
            adopt(chunk)
            return
        }
        logger.notice(
            "dropped a cached chunk that an unclean stop left changed; it is fetched again",
            metadata: ["chunk": "\(chunk)"]
        )
        await lockRecording()
        defer { recording.release() }
        try await forgetAndPunch([Leaving(chunk: chunk, pages: nil)])
        unverified.remove(chunk)
    }

    private func contentHash(_ chunk: ChunkIndex) async throws(Errno) -> ContentHash {
        let buffer = ChunkBuffer(count: geometry.chunkBytes)
        let start = geometry.offset(of: chunk)
        let cache = plane.cache
        try await onDisk { () throws(Errno) in try cache.read(at: start, into: buffer.bytes) }
        return await ChunkCoding.hash(buffer)
    }
}
