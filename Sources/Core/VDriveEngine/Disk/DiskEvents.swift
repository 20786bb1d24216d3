internal import VDriveModel

/// What goes upward: never a call, so that no cycle of awaits can come to be.
enum DiskEvent: Sendable {
    /// Dirty data passed the threshold, or a writer waits for room: seal soon.
    case wantsEpoch
    /// More than the soft limit of the cache is used.
    case wantsCleaning
    /// Frames that a sequential reader will ask for, and the part of the link that is reserved for them.
    case readAhead(ReadAhead.Piece, transfer: Int)
    /// A mapped object is missing or damaged.
    case objectLost(String)
    /// The cache can no longer be written, or trusted to be durable.
    case broken(DiskError)
}
