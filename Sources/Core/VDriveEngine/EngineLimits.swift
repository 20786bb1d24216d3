/// Bounds of the engine, each with its reason.
enum EngineLimits {
    /// Chunks captured, compressed and sent at the same time: 4 × (raw + compressed) is the uploader's memory.
    static let parallelUploads = 4
    /// Threads that compress: as many as leave a core of a small machine to the requests, most of the time.
    static let encoderThreads = 2
    /// Sequential readers that are told apart; beyond it the one that was silent longest is forgotten. As many places
    /// are watched where one may begin.
    static let readAheadStreams = 32
    /// Frames that one stream may be ahead of its reader: 64 MiB, twice what the longest link has under way.
    static let readAheadFramesMax = 512
    /// Frames that it may be ahead whatever was wasted before, or waste could never be made good: 1 MiB.
    static let readAheadFramesMin = 8
    /// Bytes of read-ahead under way: 1 Gbit/s over 130 ms, twice. With what waits for the cache's disk it is the
    /// memory that read-ahead takes.
    static let readAheadBytesMax = 32 << 20
    /// Bytes that one reader may be ahead, or the link may carry ahead, in a cache of some size.
    static func aheadBytes(cacheBytes: UInt64) -> Int { Int(clamping: cacheBytes / 8) }
    /// Requests of read-ahead at the same time: half of the connections that one server gets, so that a demand read
    /// never waits for one.
    static let readAheadTransfersMax = 16
    /// Frames in one request: 2 MiB, so that a reader who waits for its first page does not wait long.
    static let readAheadPieceFrames = 16
    /// A stream that wants something is forgotten in favour of others after so many signs of life of theirs.
    static let readAheadSilence: UInt64 = 64
    /// Waste is judged over so many pages: 512 MiB.
    static let readAheadMemoryPages = 131_072
    /// When a part in so many of what was fetched ahead is evicted unread, the windows are at their least.
    static let readAheadWasteShare = 4
    /// Chunks of which it is known that they were fetched ahead, and not yet read.
    static let unreadChunksMax = 65_536
    /// An eviction frees at least this share of the limit, so that its LMDB commit is paid once for many chunks.
    static let evictionShare = 32
    /// Chunks in one eviction.
    static let evictionChunksMax = 256
    /// Fewer chunks than this are no cache.
    static let cacheChunksMin: UInt64 = 4
    /// How often it is looked whether the cache has grown beyond its soft limit, or others have filled its filesystem.
    static let cleaningStep = Duration.seconds(1)
    /// After a cleaning that found nothing clean.
    static let cleaningRetry = Duration.milliseconds(100)
    /// Stretches of pinned pages, over all rules: 32 MiB.
    static let pinStretchesMax = 1 << 20
    /// Chunks looked up at a time by who walks a range, and trimmed at a time.
    static let walkChunks = 256
    /// A walk looks at so many chunks for each that it asks for before it looks through all dirty ones.
    static let nearbyShare = 16
    /// Chunks brought in at the same time on somebody's request.
    static let parallelPrefetches = 8
    /// How long a prefetch waits for room before it gives up.
    static let prefetchPatience = Duration.seconds(30)
    /// The timekeeper looks so often whether it is time for an epoch: a changed interval counts as soon.
    static let timekeeperStep = Duration.seconds(1)
    /// An epoch is sealed early when this share of the cache is dirty.
    static let dirtyShare = 4
    /// A checkpoint of the map is written after so many commits, or so many changed entries.
    static let commitsPerCheckpoint = 64
    static let entriesPerCheckpoint = 16_384
    /// Decoded map nodes kept in memory: about 200 KiB each.
    static let nodesInMemory = 128
    /// Sealed pages kept in memory while their chunks wait for the uploader: 64 MiB.
    static let keptPagesMax = 16_384
    /// Garbage objects deleted after one commit, so that uploads do not starve.
    static let deletesPerRound = 512
    /// Rounds at a detach; what is left after them goes with the next attach.
    static let sweepRoundsMax = 64
    static let parallelDeletes = 8
    /// A disk that is destroyed tells of its progress so often, in objects.
    static let sweepStep: UInt64 = 64
    /// Threads for I/O on the cache file.
    static let cacheThreads = 4
    /// Waiting for the pins of a closing chunk: a pin is held for one I/O on the cache's disk.
    static let pinPoll = Duration.microseconds(50)
    /// Waiting for room when nothing can be evicted.
    static let roomPoll = Duration.milliseconds(50)
    /// Nobody waits for room any more when nobody has for so long.
    static let pressureEnds = Duration.seconds(2)
    /// After a failed fill, reads go around the cache for so long before the next try.
    static let fillRetry = Duration.seconds(1)
    /// Evictions that a read may wait for before it goes around the cache.
    static let roomRounds = 8
    /// Between tries of an LMDB commit that finds no space.
    static let metadataRetry = Duration.milliseconds(200)
    /// A detach stops waiting for a remote that has been away for so long.
    static let offlineSecondsMax = 15
    /// How often an object is asked for that does not come as it was written, or not at all.
    static let looksAtDamaged = 3
    static let looksAtMissing = 2
    /// Chunks known to have a damaged object; they are fetched frame by frame.
    static let narrowChunksMax = 4096
    /// Between tries of an upload that the server refused (full, forbidden): somebody must act.
    static let refusedRetry = Duration.seconds(5)
    /// Between tries of pinned data that came damaged: somebody may repair the remote.
    static let damagedPinRetry = Duration.seconds(60)
    /// After a lost race for a term: the winner writes its owner record right after the claim.
    static let ownerRecordPatience = Duration.seconds(1)
    /// How long a takeover keeps what the disk's former owner needs to save its changes: a week.
    static let keptSeconds: UInt64 = 7 * 24 * 3600
    /// How often a disk on which nothing is written looks whether another machine has taken it over.
    static let idleLookSeconds: UInt64 = 60
}
