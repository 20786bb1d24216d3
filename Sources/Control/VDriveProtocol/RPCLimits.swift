/// The bounds of the protocol, the same for every client.
package enum RPCLimits {
    /// Bytes of one line without its newline, either way. One status is under 1 KiB and one disk's statistics under
    /// 8 KiB, so this leaves room for more disks in one answer than a machine can serve, and bounds what one silent
    /// client can make the daemon hold.
    package static let lineBytesMax = 1 << 20
    /// Levels of arrays and objects. The statistics have seven; the stack would take thousands.
    package static let nestingMax = 64
    /// Calls in one batch.
    package static let batchCallsMax = 1024
    /// Events that the daemon keeps for those who come back: some minutes of a busy one, at about 1 KiB each.
    package static let eventsKept = 1024
    /// Events that wait for one subscription; the oldest give way, and a gap is told.
    package static let eventsWaitingMax = 1024
    /// Subscriptions of one connection.
    package static let subscriptionsMax = 16
    /// Types or disks that one subscription names.
    package static let filterNamesMax = 64
    /// Jobs that have ended and are still known.
    package static let jobsKept = 256
    /// Jobs that run when `jobs.start` is refused; calls that wait for their end are bounded by their connections.
    package static let jobsStartedMax = 256
    /// Jobs in one answer of `jobs.list`, the youngest; at under 1 KiB each they fit into a line.
    package static let jobsListedMax = 768
    /// How long `jobs.watch` waits for news, in seconds. A client that has gone is not noticed before an answer.
    package static let watchSecondsMax = 60
    /// The shortest time between two announcements of one job's progress, in milliseconds.
    package static let progressMillisecondsMin = 500
    /// Paths that one call of the group `cache` names, and chunks.
    package static let cachePathsMax = 256
    package static let cacheChunksMax = 8192
    /// Entries in one answer of `cache.list`, as far as they fit into a line.
    package static let cacheEntriesMax = 1000
    package static let cacheEntriesDefault = 200
    /// Pin rules of one disk: `cache.pins` tells them all in one line.
    package static let pinRulesMax = 256
}
