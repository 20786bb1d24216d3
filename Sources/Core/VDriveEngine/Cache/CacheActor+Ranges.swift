internal import VDriveDataPlane
internal import VDriveModel

/// What of a byte range is where, and bringing it in on somebody's request.
extension CacheActor {
    /// The chunks of a stretch that are not unallocated, in order: the first `limit` of them.
    func dataChunks(in stretch: Range<ChunkIndex>, limit: Int) async throws(DiskError) -> [ChunkIndex] {
        while true {
            let before = cleanings
            let mapped = try await remote.allocated(in: stretch, limit: limit)
            // What a commit has moved to the map meanwhile may be missing in both.
            if cleanings == before { return Self.data(in: stretch, mapped: mapped, dirty: dirty, limit: limit) }
        }
    }

    /// Who walks asks again and again, so this must not look through all that is dirty where less will do.
    ///
    /// - Parameters:
    ///   - mapped: the first `limit` mapped chunks of the stretch, in order.
    ///   - limit: 1 or more.
    static func data(
        in stretch: Range<ChunkIndex>,
        mapped: [ChunkIndex],
        dirty: Set<ChunkIndex>,
        limit: Int
    ) -> [ChunkIndex] {
        guard !dirty.isEmpty, !stretch.isEmpty else { return mapped }
        // Beyond the last one there may be mapped chunks that were not asked for.
        let end = mapped.count == limit ? mapped[limit - 1].rawValue + 1 : stretch.upperBound.rawValue
        let start = stretch.lowerBound.rawValue
        // A short stretch is looked at chunk by chunk, and so is the beginning of a long one: data lies together.
        let isShort = end - start <= UInt64(dirty.count)
        let near = isShort ? end : min(end, start + UInt64(limit * EngineLimits.nearbyShare))
        var found: [ChunkIndex] = []
        var rest = mapped[...]
        for number in start..<near where found.count < limit {
            let chunk = ChunkIndex(number)
            if rest.first == chunk {
                found.append(rest.removeFirst())
            } else if dirty.contains(chunk) {
                found.append(chunk)
            }
        }
        let lacking = limit - found.count
        guard lacking > 0, near < end else { return found }
        let known = Set(rest)
        let far = dirty.lazy.filter { $0.rawValue >= near && $0.rawValue < end && !known.contains($0) }
        if lacking == 1 {
            if let next = [rest.first, far.min()].compactMap({ $0 }).min() { found.append(next) }
            return found
        }
        return found + (rest + far).sorted().prefix(lacking)
    }

    /// The first chunk at or after one that is not unallocated.
    func nextData(from chunk: ChunkIndex) async throws(DiskError) -> ChunkIndex? {
        let end = ChunkIndex(geometry.chunkCount)
        guard chunk < end else { return nil }
        return try await dataChunks(in: chunk..<end, limit: 1).first
    }

    // MARK: Residency

    /// What of parts of chunks that are not unallocated is where.
    func residency(of parts: [ChunkPart]) -> RangeResidency {
        var sum = RangeResidency()
        for part in parts { add(part, to: &sum) }
        return sum
    }

    private func add(_ part: ChunkPart, to sum: inout RangeResidency) {
        let total = UInt64(part.bytes.count)
        let word = plane.table.load(part.chunk)
        switch word.presence {
        case .hole: sum.unallocatedBytes += total
        // What an unclean stop left is here, though it was not checked yet.
        case .unknown where unverified.contains(part.chunk): sum.cachedBytes += total
        case .unknown: sum.absentBytes += total
        case .partial, .full:
            let present = presentPages(word)
            let cached = bytes(of: present, in: part)
            sum.cachedBytes += cached
            sum.absentBytes += total - cached
            guard word.isDirty else { return }
            var pages = plane.pages.dirty(word.slot)
            if let also = sealedDirty[part.chunk] { pages.formUnion(also) }
            sum.dirtyBytes += bytes(of: pages, in: part)
        }
    }

    private func bytes(of pages: PageSet, in part: ChunkPart) -> UInt64 {
        if pages.isFull { return UInt64(part.bytes.count) }
        let pageBytes = DiskGeometry.pageBytes
        return pages.runs.reduce(0) { sum, run in
            let bytes = (run.lowerBound * pageBytes..<run.upperBound * pageBytes).clamped(to: part.bytes)
            return sum + UInt64(bytes.count)
        }
    }

    /// How much of a byte range is pinned.
    func pinnedBytes(in range: Range<UInt64>) -> UInt64 {
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        guard !range.isEmpty else { return 0 }
        let pages = range.lowerBound / pageBytes..<(range.upperBound - 1) / pageBytes + 1
        return pins.stretches(in: pages).reduce(0) { sum, stretch in
            let bytes = (stretch.lowerBound * pageBytes..<stretch.upperBound * pageBytes).clamped(to: range)
            return sum + UInt64(bytes.count)
        }
    }

    /// Byte ranges of the disk that are pinned.
    var pinnedRanges: [Range<UInt64>] {
        let pageBytes = UInt64(DiskGeometry.pageBytes)
        return pins.merged.map { $0.lowerBound * pageBytes..<$0.upperBound * pageBytes }
    }

    // MARK: Bringing in

    /// Fetches what is missing of a part of a chunk, or waits for who fetches it. Makes room as a read does; where that
    /// gives none, it asks for uploads and waits for a while.
    ///
    /// - Throws: `outOfSpace` when there is no room all that time.
    func bringIn(_ part: ChunkPart) async throws(DiskError) {
        let end = ContinuousClock.now + EngineLimits.prefetchPatience
        while true {
            do throws(DiskError) {
                if case .pinned = try await pinResident(part, for: .prefetch) { unpin(part.chunk) }
                return
            } catch {
                guard error.kind == .outOfSpace, broken == nil, !Task.isCancelled, .now < end else { throw error }
                events.yield(.wantsEpoch)
                await pause(EngineLimits.roomPoll)
            }
        }
    }
}

/// Walks the parts of a byte range that are not unallocated, in order. What becomes allocated behind it, or is just
/// ahead of it, it may miss.
struct DataWalk {
    private let cache: CacheActor
    private let geometry: DiskGeometry
    private let range: Range<UInt64>
    private var found: ArraySlice<ChunkIndex> = []
    /// What was not looked up yet.
    private var rest: Range<ChunkIndex>

    init(_ range: Range<UInt64>, in cache: CacheActor) {
        self.cache = cache
        geometry = cache.plane.geometry
        self.range = range.clamped(to: 0..<geometry.diskBytes)
        rest = ChunkIndex(0)..<ChunkIndex(0)
        if !self.range.isEmpty {
            let last = geometry.chunk(at: self.range.upperBound - 1)
            rest = geometry.chunk(at: self.range.lowerBound)..<ChunkIndex(last.rawValue + 1)
        }
    }

    mutating func next() async throws(DiskError) -> ChunkPart? {
        if found.isEmpty {
            if rest.isEmpty { return nil }
            let limit = EngineLimits.walkChunks
            let chunks = try await cache.dataChunks(in: rest, limit: limit)
            found = chunks[...]
            let next = chunks.count < limit ? rest.upperBound : ChunkIndex(chunks[limit - 1].rawValue + 1)
            rest = next..<rest.upperBound
        }
        guard let chunk = found.popFirst() else { return nil }
        let start = geometry.offset(of: chunk)
        let own = range.clamped(to: start..<start + UInt64(geometry.chunkBytes))
        return ChunkPart(chunk: chunk, bytes: Int(own.lowerBound - start)..<Int(own.upperBound - start))
    }

    /// The next parts, as many as are done together; empty at the end.
    mutating func nextBatch() async throws(DiskError) -> [ChunkPart] {
        var batch: [ChunkPart] = []
        while batch.count < EngineLimits.walkChunks, let part = try await next() { batch.append(part) }
        return batch
    }
}
