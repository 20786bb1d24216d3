internal import VDriveModel

/// What goes upward: never a call, so that no cycle of awaits can come to be.
enum DiskEvent: Sendable {
    /// Dirty data passed the threshold, or a writer waits for room: seal soon.
    case wantsEpoch
    /// More than the soft limit of the cache is used.
    case wantsCleaning
    /// A chunk that a sequential reader will ask for; the marked one tells when the reader comes to it.
    case readAhead(ChunkIndex, marks: Bool)
    /// A mapped object is missing or damaged.
    case objectLost(String)
    /// The cache can no longer be written, or trusted to be durable.
    case broken(DiskError)
}
