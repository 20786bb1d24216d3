package import VDriveModel

/// What an attached disk tells whoever composed it, when it happens. It is a value that goes upward, never a call into
/// somebody who could wait for the disk.
package enum DiskReport: Sendable {
    /// The disk can no longer be written: it is fenced, diverged or broken, as its status says from now on.
    case failed(DiskError)
    /// The remote is reached better or worse: `online`, `degraded`, `offline`.
    case remote(state: String, previous: String)
    /// A warning begins, with its sentence, or is over, with none.
    case warning(kind: String, sentence: String?)
    /// An object is missing or damaged on the remote; with it there are so many.
    case objectLost(name: String, total: UInt64)
    /// An epoch's commit counts.
    case committed(version: ObjectVersion, chunks: UInt64, bytes: UInt64)
    /// Writers begin to wait for room, since all in the cache is dirty; or no longer do.
    case pressure(Bool)
}

/// Takes reports on any thread, at once, and without waiting.
package typealias DiskReporter = @Sendable (DiskReport) -> Void
