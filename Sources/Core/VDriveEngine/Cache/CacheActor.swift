internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveMetadata
internal import VDriveModel

/// Residency: what of the disk is in the cache file, and who may change it.
///
/// ## Notes on the design
///
///     unknown ──lookup──▶ hole ──write──▶ full + dirty
///        │ fetch                              │ commit
///        ▼                                    ▼
///     partial ──fill──▶ full (clean) ──write──▶ full + dirty
///        └──write──▶ partial + dirty ──commit──▶ partial (clean) ──evict──▶ unknown
///
/// A chunk's state changes only while its lock is held (`lock`, kept over awaits); a change that takes pages or the
/// slot away, or that must not run beside hits, also closes the chunk: no new pins, the old ones drained. Inside an
/// actor method, read-decide-write is one synchronous stretch, and after each await the word is read again.
///
/// Invariants, checked by `checkInvariants`:
/// 1. A page that is not present has no bytes in the cache file: it reads there as zeros. (Writes that fail are
/// punched.) `unpunched` are the exceptions.
/// 2. `dirty` holds exactly the chunks whose word is dirty; the policy may choose exactly the clean resident ones that
/// no eviction has chosen already, that are not unverified, and of which not all pages are pinned.
/// 3. A chunk over an unallocated base has every page present.
/// 4. A dirty page has bytes in the cache file. What a trim made zeros is present and not dirty, in a chunk that is.
/// 5. `sealed` is empty, or holds chunks of one epoch, all of them dirty.
///
/// Fills, first writes, punches and evictions come here; hits never do.
actor CacheActor {
    let plane: DataPlane
    let remote: RemoteActor
    let bitmap: BitmapActor
    let threads: BlockingThreads
    let outboxDirectory: String
    let warnings: DiskWarnings
    let logger: Logger
    let events: DiskEvents
    let report: DiskReporter

    /// As they were set last.
    var limits: CacheLimits
    /// The limit in force: bytes that the cache may allocate.
    var limitBytes: UInt64
    var marks = CleaningMarks()
    var isCleaning = false
    var isCleaningAsked = false
    /// A cleaning found nothing clean.
    var noCleaningBefore: ContinuousClock.Instant?

    var locks = ChunkLocks()
    /// Held by whoever moves records into LMDB: flush, evict, commit. It keeps a snapshot and its commit together.
    var recording = AsyncLock()
    /// What `policy` is.
    var policyChoice: CachePolicy
    var policy: any EvictionPolicy
    var time = CacheTime()
    var pins: PinSet
    /// Rules that are not in force because they did not fit, in the order of their creation.
    var leftOut: [PinRule] = []
    /// The limit when they were tried last.
    var leftOutLimit: UInt64 = 0
    /// Why pinned data could not be brought in, when it was tried last.
    var pinFetchFailure: DiskError?
    /// One for each time that pinned data may be missing in the cache.
    nonisolated let pinWakes: AsyncStream<Void>
    nonisolated let pinWake: AsyncStream<Void>.Continuation
    var dirty: Set<ChunkIndex> = []
    /// Chunks that a commit has taken out of `dirty`, ever; the map has them by then.
    var cleanings = 0
    /// Since when something of a dirty chunk is on this machine alone; nothing of what an earlier daemon left.
    var dirtySince: [ChunkIndex: ContinuousClock.Instant] = [:]
    /// The last seal.
    var sealedAt: ContinuousClock.Instant?
    /// Dirty chunks that were trimmed whole, and perhaps written again since; a part of `dirty`.
    var trimmed: Set<ChunkIndex> = []
    /// Clean full chunks that an unclean stop left, to be checked against their hash at the first touch.
    var unverified: Set<ChunkIndex> = []
    /// Holes that were punched when the cache was taken up after an unclean stop.
    var sweptHoles = 0
    /// Chunks that may have bytes in the cache file where no page is present, because they could not be punched.
    var unpunched: Set<ChunkIndex> = []
    /// Chunks that LMDB has a record of.
    var recorded: Set<ChunkIndex> = []
    /// Chunks of which LMDB says that they are dirty, with every page present: at a recovery all their pages count,
    /// whichever of them are noted as dirty.
    var recordedWhole: Set<ChunkIndex> = []
    /// Of `recordedWhole`, those with dirty pages that LMDB does not note.
    var underRecorded: Set<ChunkIndex> = []
    /// Chunks whose record is to be written at the next flush, beside those on the data plane's changed list.
    var changed: Set<ChunkIndex> = []
    var sealed: [ChunkIndex: SealedState] = [:]
    /// Dirty pages of sealed chunks that were written again; they stay dirty until the commit.
    var sealedDirty: [ChunkIndex: PageSet] = [:]
    /// Pages of overwritten sealed chunks that were written since the seal.
    var rewritten: [ChunkIndex: PageSet] = [:]
    /// Sealed pages kept in memory, over all chunks.
    var keptPages = 0
    /// Sealed pages copied aside, over all chunks.
    var outboxPages = 0
    var freeSlots: [Int] = []
    var slotsUsed = 0
    var inFlight: [FrameKey: [CheckedContinuation<Void, Never>]] = [:]
    /// Chunks whose object was found damaged: what is sound of it is fetched frame by frame.
    var narrow: [ChunkIndex: ObjectVersion] = [:]
    var roomWaiters: [CheckedContinuation<Void, Never>] = []
    var isEvicting = false
    /// When somebody last found nothing to evict, and waited for an upload.
    var lastRoomWait: ContinuousClock.Instant?
    /// Whether it was told that writers wait, and not yet that this is over.
    var isPressureTold = false
    /// Pages reserved by fills and writes under way, and ever.
    var reservedPages = 0
    var reservedEver = 0
    /// What this actor has added to the count of free pages, ever; whatever else changed it was hits.
    var freeAdded = 0
    var flushWaiters: [CheckedContinuation<FlushTurn, Never>] = []
    var isFlushing = false
    /// Flush cycles ever: one fdatasync each, whoever shared it.
    var flushCycles = 0
    var readAhead: ReadAhead
    var link: LinkEstimate
    /// Pages that were fetched ahead, by chunk, as long as nobody is known to have read them.
    var unread: [ChunkIndex: Int] = [:]
    let started = ContinuousClock.now
    /// Why nothing can be written any more; only another attach helps.
    var broken: DiskError?
    /// The disk ends, or waits for its remote no more: who waits for an upload waits in vain.
    var hasGivenUpUploads = false
    /// A fill failed: until then reads go around the cache.
    var noFillBefore: ContinuousClock.Instant?
    /// When somebody last found the cache's filesystem full.
    var lastNoSpace: ContinuousClock.Instant?

    init(
        plane: DataPlane,
        remote: RemoteActor,
        bitmap: BitmapActor,
        threads: BlockingThreads,
        outboxDirectory: String,
        limits: CacheLimits,
        policy: CachePolicy,
        warnings: DiskWarnings,
        logger: Logger,
        events: DiskEvents,
        report: @escaping DiskReporter
    ) {
        self.plane = plane
        self.remote = remote
        self.bitmap = bitmap
        self.threads = threads
        self.outboxDirectory = outboxDirectory
        self.limits = limits
        limitBytes = limits.hardBytes
        pins = PinSet(pagesPerChunk: plane.geometry.pagesPerChunk)
        (pinWakes, pinWake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.warnings = warnings
        readAhead = ReadAhead(geometry: plane.geometry)
        link = LinkEstimate(
            frameBytes: plane.geometry.frameBytes,
            budgetMax: EngineLimits.aheadBytes(cacheBytes: limits.hardBytes)
        )
        policyChoice = policy
        self.policy = policy.make(cacheBytes: limits.hardBytes, chunkBytes: plane.geometry.chunkBytes)
        self.logger = logger
        self.events = events
        self.report = report
        plane.counters.freePages.store(Int(limits.hardBytes) / DiskGeometry.pageBytes, ordering: .relaxed)
    }

    var geometry: DiskGeometry { plane.geometry }

    // MARK: Locks

    func lock(_ chunk: ChunkIndex) async {
        if locks.tryAcquire(chunk) { return }
        await withCheckedContinuation { locks.wait(chunk, $0) }
    }

    func unlock(_ chunk: ChunkIndex) { locks.release(chunk) }

    func lockRecording() async {
        if recording.tryAcquire() { return }
        await withCheckedContinuation { recording.wait($0) }
    }

    /// Stops new pins and waits for the old ones. The caller holds the chunk's lock, and opens it again.
    func close(_ chunk: ChunkIndex) async {
        var word = plane.table.update(chunk) { $0.closing(true) }
        while word.pins > 0 {
            // A pin is one I/O on the cache's disk: short, and not worth a wake-up on the hit path.
            await pause(EngineLimits.pinPoll)
            word = plane.table.load(chunk)
        }
    }

    func open(_ chunk: ChunkIndex) {
        plane.table.update(chunk) { $0.closing(false) }
    }

    // MARK: Slots

    func takeSlot() -> Int {
        if let slot = freeSlots.popLast() { return slot }
        slotsUsed += 1
        precondition(slotsUsed <= plane.pages.slotCount, "more page sets than chunks")
        return slotsUsed
    }

    // MARK: Time

    /// The full tick of a word's 20 bits: the latest time with those bits that is not in the future.
    func lastAccess(_ chunk: ChunkIndex) -> UInt64 {
        let now = plane.clock.load(ordering: .relaxed)
        return now &- ((now &- plane.table.load(chunk).tick) & ChunkWord.tickMask)
    }

    /// Time passes with what is brought in.
    func passTime(pages: Int) {
        let ticks = time.bringIn(pages: pages, limitPages: Int(limitBytes) / DiskGeometry.pageBytes)
        plane.clock.add(ticks, ordering: .relaxed)
    }

    // MARK: Disk

    /// Runs a call on the cache file on a thread that may block.
    func onDisk<Answer: Sendable>(
        _ body: @escaping @Sendable () throws(Errno) -> Answer
    ) async throws(Errno) -> Answer {
        try await threads.run(body)
    }
}

/// One frame of one chunk: the unit that is fetched once, however many wait for it.
struct FrameKey: Hashable {
    var chunk: ChunkIndex
    var frame: Int
}
