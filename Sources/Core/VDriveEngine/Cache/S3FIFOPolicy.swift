internal import DequeModule
package import VDriveModel

/// S3-FIFO (Yang et al., SOSP 2023), for chunks that are dirty now and then and whose sizes differ.
///
/// ## Notes on the design
///
///     fetched, written ──▶ small ──used twice──▶ main ──┐ used: once more round, one use less
///                            │                    │  ◀──┘
///                            │ else               │ not used
///                            ▼                    ▼
///                          ghost                 gone
///                            └──comes back──▶ main
///
/// What is new passes through a small queue, a tenth of the cache, and leaves it again at its end unless it was used
/// twice meanwhile; so a scan costs a tenth of the cache, and no more. The ghost remembers what left the small queue,
/// by its index alone, as many chunks as the main queue holds: what comes back from there goes to the main queue.
///
/// What differs from the paper:
/// - Sizes count by resident pages, in the shares of the queues alone: which of two queues gives a chunk depends on
///   pages, which chunk of the queue on its place. Shares are of what is known and choosable, so that dirty data takes
///   room from both.
/// - The small queue is never smaller than what two sequential readers may have ahead of them, or small caches would
///   evict what was read ahead before it is read.
/// - A use is an access in another period of the cache's time than the access before it (`CacheTime`): the many
///   requests of one reader passing through a chunk are one access.
/// - A dirty chunk keeps its place. If it reaches the end of its queue meanwhile, it is the next to be judged when it
///   is clean again.
/// - One chunk leaves a call, and after 10,000 that were spared the next. When one moves from small to main, the
///   shares are looked at anew.
/// - What was in the cache before (`adopt`) begins in the main queue, without uses: after a start the recovered chunks
///   stay as well as they can, and one use saves each of them. The ghost begins empty.
///
/// Invariants, checked by `checkInvariants`: a known chunk is filed in at most one queue, at one place, and in one
/// exactly when it is choosable; the queues' counts are those of their choosable chunks; no known chunk is in the
/// ghost; the ghost is bounded by the chunks that were known when it last grew.
package struct S3FIFOPolicy: EvictionPolicy {
    private enum Place { case small, main }

    private struct Known {
        var place: Place
        var pages: Int
        /// Not to be chosen for now.
        var isHeld = false
        /// Where it is filed; nil once it has reached the end of its queue.
        var filing: UInt64?
        /// Uses that it was left with when they were last taken out of its word.
        var uses = 0
    }

    private struct Filed {
        var chunk: ChunkIndex
        /// Tells a chunk's present filing from one that was left behind.
        var filing: UInt64
    }

    /// A queue and what was left behind in it; the end that is judged comes first.
    private struct Queue {
        var filed: Deque<Filed> = []
        /// Choosable chunks, and their pages.
        var count = 0
        var pages = 0
    }

    private static let usesMax = 3
    /// Uses that move a chunk from small to main.
    private static let usesToStay = 2
    /// The small queue is this part of the cache.
    private static let smallShare = 10
    /// Chunks that one call spares because they were used; then the next one goes whatever its uses, so that a call
    /// is a stretch of milliseconds in a cache of any size.
    private static let sparedMax = 10_000

    private var smallPagesMin: Int
    private var known: [ChunkIndex: Known] = [:]
    private var small = Queue()
    private var main = Queue()
    private var ghost: [ChunkIndex: UInt64] = [:]
    private var ghostFiled: Deque<Filed> = []
    private var filings: UInt64 = 0

    /// - Parameter smallPagesMin: what the small queue may hold in any case.
    package init(smallPagesMin: Int) { self.smallPagesMin = smallPagesMin }

    package mutating func resize(newPagesMin: Int) { smallPagesMin = newPagesMin }

    package var count: Int { small.count + main.count }
    package var chunks: [ChunkIndex] { known.filter { !$0.value.isHeld }.map(\.key) }

    // MARK: What is known

    package mutating func admit(_ chunk: ChunkIndex, pages: Int, tick: UInt64) {
        guard let entry = known[chunk] else {
            let comesBack = ghost.removeValue(forKey: chunk) != nil
            return begin(chunk, Known(place: comesBack ? .main : .small, pages: pages))
        }
        if !entry.isHeld { take(entry) }
        known[chunk]!.pages = pages
        known[chunk]!.isHeld = false
        give(known[chunk]!)
        // Its turn had come: it is the next.
        if entry.filing == nil { file(chunk, entry.place, atEnd: true) }
    }

    package mutating func adopt(_ chunk: ChunkIndex, pages: Int, tick: UInt64) {
        guard known[chunk] == nil else { return admit(chunk, pages: pages, tick: tick) }
        ghost[chunk] = nil
        begin(chunk, Known(place: .main, pages: pages))
    }

    package mutating func suspend(_ chunk: ChunkIndex) {
        guard let entry = known[chunk], !entry.isHeld else { return }
        known[chunk]!.isHeld = true
        take(entry)
    }

    package mutating func remove(_ chunk: ChunkIndex) {
        guard let entry = known.removeValue(forKey: chunk) else { return }
        if !entry.isHeld { take(entry) }
        sweep(entry.place)
    }

    package mutating func evicted(_ chunk: ChunkIndex) {
        let entry = known[chunk]
        let bound = known.count - known.count / Self.smallShare
        remove(chunk)
        if entry?.place == .small { remember(chunk, bound: bound) }
    }

    // MARK: The choice

    package mutating func next(
        lastAccess: (ChunkIndex) -> UInt64,
        takeUses: (ChunkIndex) -> Int
    ) -> ChunkIndex? {
        var spared = 0
        while count > 0 {
            let place = isSmallNext ? Place.small : .main
            guard let chunk = popEnd(place) else { preconditionFailure("a queue holds less than it counts") }
            let uses = min(known[chunk]!.uses + takeUses(chunk), Self.usesMax)
            switch place {
            case .small where uses >= Self.usesToStay && spared < Self.sparedMax: refile(chunk, .main, uses: 0)
            case .main where uses > 0 && spared < Self.sparedMax: refile(chunk, .main, uses: uses - 1)
            case .small, .main:
                known[chunk]!.uses = uses
                suspend(chunk)
                return chunk
            }
            spared += 1
        }
        return nil
    }

    private var isSmallNext: Bool {
        if main.count == 0 || small.count == 0 { return main.count == 0 }
        return small.pages >= max(smallPagesMin, (small.pages + main.pages) / Self.smallShare)
    }

    /// Takes the choosable chunk out that has waited longest in a queue; it is filed nowhere then. Held ones before it
    /// have had their turn.
    private mutating func popEnd(_ place: Place) -> ChunkIndex? {
        while let first = self[place].filed.popFirst() {
            guard let entry = known[first.chunk], entry.filing == first.filing else { continue }
            known[first.chunk]!.filing = nil
            if !entry.isHeld { return first.chunk }
        }
        return nil
    }

    private mutating func refile(_ chunk: ChunkIndex, _ place: Place, uses: Int) {
        take(known[chunk]!)
        known[chunk]!.place = place
        known[chunk]!.uses = uses
        give(known[chunk]!)
        file(chunk, place, atEnd: false)
    }

    // MARK: Queues

    private subscript(_ place: Place) -> Queue {
        get { place == .small ? small : main }
        _modify { if place == .small { yield &small } else { yield &main } }
    }

    private mutating func begin(_ chunk: ChunkIndex, _ entry: Known) {
        known[chunk] = entry
        give(entry)
        file(chunk, entry.place, atEnd: false)
    }

    private mutating func file(_ chunk: ChunkIndex, _ place: Place, atEnd: Bool) {
        filings += 1
        known[chunk]!.filing = filings
        let filed = Filed(chunk: chunk, filing: filings)
        if atEnd { self[place].filed.prepend(filed) } else { self[place].filed.append(filed) }
    }

    /// Counts a chunk that becomes choosable, or no longer is.
    private mutating func give(_ entry: Known) {
        self[entry.place].count += 1
        self[entry.place].pages += entry.pages
    }

    private mutating func take(_ entry: Known) {
        self[entry.place].count -= 1
        self[entry.place].pages -= entry.pages
    }

    /// Filings left behind are skipped when they come up; now and then they are swept.
    private mutating func sweep(_ place: Place) {
        let filed = self[place].filed
        guard filed.count > 64, filed.count > 4 * known.count else { return }
        self[place].filed = Deque(filed.filter { known[$0.chunk]?.filing == $0.filing })
    }

    // MARK: The ghost

    private mutating func remember(_ chunk: ChunkIndex, bound: Int) {
        filings += 1
        ghost[chunk] = filings
        ghostFiled.append(Filed(chunk: chunk, filing: filings))
        while ghost.count > bound, let oldest = ghostFiled.popFirst() {
            if ghost[oldest.chunk] == oldest.filing { ghost[oldest.chunk] = nil }
        }
        if ghostFiled.count > 64, ghostFiled.count > 4 * ghost.count {
            ghostFiled = Deque(ghostFiled.filter { ghost[$0.chunk] == $0.filing })
        }
    }
}

extension S3FIFOPolicy {
    /// How many evicted chunks it remembers.
    package var remembered: Int { ghost.count }

    /// The notes' invariants, for tests.
    package func checkInvariants() {
        for (place, queue) in [(Place.small, small), (.main, main)] {
            let filed = queue.filed.filter { known[$0.chunk]?.filing == $0.filing }
            precondition(Set(filed.map(\.chunk)).count == filed.count, "a chunk is filed twice")
            precondition(filed.allSatisfy { known[$0.chunk]!.place == place }, "a chunk is filed in the other queue")
            let choosable = known.values.filter { $0.place == place && !$0.isHeld }
            precondition(queue.count == choosable.count, "a queue's count is wrong")
            precondition(queue.pages == choosable.reduce(0) { $0 + $1.pages }, "a queue's pages are wrong")
            let filedChoosable = filed.filter { !known[$0.chunk]!.isHeld }
            precondition(filedChoosable.count == choosable.count, "a choosable chunk is not filed")
        }
        precondition(ghost.keys.allSatisfy { known[$0] == nil }, "a known chunk is in the ghost")
        precondition(ghostFiled.count >= ghost.count, "the ghost forgot to file")
    }
}
