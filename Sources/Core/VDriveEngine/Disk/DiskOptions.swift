package import Logging
package import VDriveModel
package import VDriveStore

/// What a disk is attached with. Nothing has a default: the composition root says it all.
package struct DiskOptions: Sendable {
    package var name: String
    package var store: RemoteStore
    /// For the cache files and the outbox of this disk alone; made when it is missing.
    package var cacheDirectory: String
    /// For LMDB; made when it is missing.
    package var stateDirectory: String
    /// How much the cache may take, at first; see `Disk.setLimits`.
    package var limits: CacheLimits
    /// When a flush is answered, at first; see `Disk.setDurability`.
    package var durability: Durability
    /// How long dirty data stays on this machine alone when nothing else asks for an epoch, at first.
    package var uploadInterval: Duration
    /// What leaves the cache first, to begin with; see `Disk.setCachePolicy`.
    package var cachePolicy: CachePolicy
    /// How long an upload waits for a lost object whose other pages it needs, before it goes up without them.
    package var lostObjectPatience: Duration
    package var intent: AttachIntent
    /// Reads the disk's state as it is at the attach: no term is claimed, nothing is written to the remote, and the
    /// guest's writes are refused.
    package var isReadOnly: Bool
    package var logger: Logger
    package var softwareVersion: String
    /// Hears of what happens while the disk is attached.
    package var report: DiskReporter
    /// Asked once in an attach, when the remote has answered and nothing is claimed yet: whether to go on. Until then
    /// the attach may be cancelled; afterwards its task must be left alone.
    package var goesOn: @Sendable () -> Bool

    package init(
        name: String,
        store: RemoteStore,
        cacheDirectory: String,
        stateDirectory: String,
        limits: CacheLimits,
        durability: Durability,
        uploadInterval: Duration,
        cachePolicy: CachePolicy,
        lostObjectPatience: Duration,
        intent: AttachIntent,
        isReadOnly: Bool,
        logger: Logger,
        softwareVersion: String,
        report: @escaping DiskReporter,
        goesOn: @escaping @Sendable () -> Bool
    ) {
        self.name = name
        self.store = store
        self.cacheDirectory = cacheDirectory
        self.stateDirectory = stateDirectory
        self.limits = limits
        self.durability = durability
        self.uploadInterval = uploadInterval
        self.cachePolicy = cachePolicy
        self.lostObjectPatience = lostObjectPatience
        self.intent = intent
        self.isReadOnly = isReadOnly
        self.logger = logger
        self.softwareVersion = softwareVersion
        self.report = report
        self.goesOn = goesOn
    }
}

/// What a person allows an attach to do, and nobody else may decide.
package struct AttachIntent: Sendable, Equatable {
    /// Take the disk over from another machine that has not detached it.
    package var takesOver: Bool
    /// Give up what this machine has not uploaded, when another one has written since, or when the local metadata is
    /// damaged. Without such a cause nothing is given up.
    package var discardsLocal: Bool

    package init(takesOver: Bool = false, discardsLocal: Bool = false) {
        self.takesOver = takesOver
        self.discardsLocal = discardsLocal
    }
}

/// A disk as it is now, for people and programs.
package struct DiskSnapshot: Sendable {
    package enum State: String, Sendable {
        case attached
        /// Another machine has taken the disk over; reads go on, writes are refused, dirty data is kept.
        case fenced
        /// Another machine has written while the remote was away from here, and there are changes of this one.
        case diverged
        case failed
    }

    package var state: State
    /// Attached to be read alone.
    package var isReadOnly: Bool
    /// The one that this machine claimed last; 0 before the first.
    package var term: Term
    /// The last epoch that is committed.
    package var epoch: Epoch
    package var limits: CacheLimits
    /// The limit in force: the hard one, or what the cache's filesystem has room for beside its reserve.
    package var effectiveLimitBytes: UInt64
    /// What the cache's filesystem really allocates.
    package var usedBytes: UInt64
    /// All that is pinned, whether in the cache or not.
    package var pinnedBytes: UInt64
    package var dirtyBytes: UInt64
    /// Sealed and not committed yet.
    package var pendingBytes: UInt64
    /// Whether a person has paused the uploads.
    package var isPaused: Bool
    package var allocatedBytes: UInt64
    package var remoteState: String
    package var lastError: String?
    /// Objects of the disk that are missing or damaged on the remote, as far as they were asked for.
    package var damagedObjects: DamagedObjects
    /// What is wrong right now, one sentence each; a warning goes when its cause has gone.
    package var warnings: [String]
}
