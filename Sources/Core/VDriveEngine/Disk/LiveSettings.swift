internal import Synchronization

/// When a flush (fsync) is answered.
package enum Durability: String, Sendable {
    /// Once everything written before it is durable on this machine.
    case local
    /// Once it is committed on the remote, too: it then survives the loss of this machine.
    ///
    /// The kernel holds the image's inode lock during an fsync: other writes to the image, and other fsyncs, begin when
    /// it is answered (reads go on). So beside this engine's group commit it is the filesystem's own that makes many
    /// fsyncs one.
    case remote
}

/// What may be changed while a disk is attached. Any thread.
final class LiveSettings: Sendable {
    private struct Values {
        var durability: Durability
        var uploadInterval: Duration
    }

    private let values: Mutex<Values>

    init(durability: Durability, uploadInterval: Duration) {
        values = Mutex(Values(durability: durability, uploadInterval: uploadInterval))
    }

    var durability: Durability {
        get { values.withLock { $0.durability } }
        set { values.withLock { $0.durability = newValue } }
    }

    /// How long dirty data stays on this machine alone when nothing else asks for an epoch.
    var uploadInterval: Duration {
        get { values.withLock { $0.uploadInterval } }
        set { values.withLock { $0.uploadInterval = newValue } }
    }
}
