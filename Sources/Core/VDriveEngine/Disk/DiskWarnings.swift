internal import Logging
internal import Synchronization

/// What is wrong with a disk right now and mends itself, or waits for somebody to mend it: one sentence a kind, for
/// as long as the trouble lasts. Each is logged once when it begins and once when it ends. Any thread may call it.
final class DiskWarnings: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        /// Somebody else has filled the cache's filesystem.
        case cacheFull
        /// Somebody else takes so much of the cache's filesystem that the cache must shrink.
        case cachePressed
        /// The pins that this machine keeps do not fit into the cache.
        case pinsTooLarge
        /// The cache's filesystem takes no writes: read-only, or failing.
        case cacheUnwritable
        /// LMDB finds no space.
        case metadataFull
        /// Writers wait for uploads, which are paused.
        case pausedAndFull
    }

    private let current = Mutex<[Kind: String]>([:])
    /// What the attach found, and a person should look at; until the disk is detached.
    private let notices: [String]
    private let logger: Logger
    private let report: DiskReporter

    init(notices: [String], logger: Logger, report: @escaping DiskReporter) {
        self.notices = notices
        self.logger = logger
        self.report = report
        for notice in notices { report(.warning(kind: "notice", sentence: notice)) }
    }

    /// The attach's notices, then the sentences in the order of the kinds.
    var sentences: [String] {
        let current = current.withLock { $0 }
        return notices + Kind.allCases.compactMap { current[$0] }
    }

    /// - Parameter sentence: what is the matter, and what to do about it.
    func raise(_ kind: Kind, _ sentence: String) {
        let isNew = current.withLock { current in
            let isNew = current.updateValue(sentence, forKey: kind) == nil
            if isNew { report(.warning(kind: kind.rawValue, sentence: sentence)) }
            return isNew
        }
        if isNew { logger.warning("\(sentence)", metadata: ["warning": "\(kind.rawValue)"]) }
    }

    func clear(_ kind: Kind) {
        let wasThere = current.withLock { current in
            let wasThere = current.removeValue(forKey: kind) != nil
            // Under the lock, so that the end of a warning is never told before its beginning.
            if wasThere { report(.warning(kind: kind.rawValue, sentence: nil)) }
            return wasThere
        }
        if wasThere { logger.notice("a warning is over", metadata: ["warning": "\(kind.rawValue)"]) }
    }
}

/// Objects that were asked for and could not be used, missing or damaged, since the disk was attached.
package struct DamagedObjects: Sendable, Hashable {
    /// How many are named.
    package static let namesMax = 16
    /// How many are told apart; beyond that one may be counted again.
    private static let knownMax = 65_536

    /// The first of them, in the order in which they were found.
    package private(set) var names: [String] = []
    package private(set) var total: UInt64 = 0
    private var known: Set<String> = []

    /// - Returns: whether it was not known before.
    mutating func note(_ name: String) -> Bool {
        guard !known.contains(name) else { return false }
        if known.count < Self.knownMax { known.insert(name) }
        total += 1
        if names.count < Self.namesMax { names.append(name) }
        return true
    }
}
