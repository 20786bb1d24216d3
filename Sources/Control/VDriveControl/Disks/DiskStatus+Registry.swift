import VDriveEngine
import VDriveFuse
import VDriveHost
import VDriveModel
import VDriveProtocol
import VDriveStore

extension DiskStatus {
    /// What is known of a disk: its configuration, what the kernel was given, and what the engine says.
    init(entry: DiskRegistry.Entry, snapshot: DiskSnapshot?) {
        let configuration = entry.configuration
        self.init(
            name: configuration.name.text,
            uuid: configuration.id.description,
            state: Self.state(entry, snapshot?.state),
            sizeBytes: configuration.geometry.diskBytes,
            chunkBytes: configuration.geometry.chunkBytes,
            durability: configuration.durability,
            uploadIntervalSeconds: configuration.uploadIntervalSeconds,
            cachePolicy: configuration.cachePolicy,
            cacheLimitBytes: configuration.cacheBytes,
            remoteURL: configuration.remote.redacted
        )
        filesystem = configuration.filesystem?.rawValue
        lastError = entry.trouble?.message
        switch entry.phase {
        case .attached(let attached), .detaching(let attached):
            image = attached.fuse.imagePath
            device = attached.volume?.loop.devicePath
            mountPoint = attached.volume?.mountPoint
            filesystem = attached.filesystem.rawValue
        case .detached, .attaching, .destroying: break
        }
        guard let snapshot else { return }
        readOnly = snapshot.isReadOnly
        term = snapshot.term.rawValue
        epoch = snapshot.epoch.rawValue
        cache = Cache(
            limitBytes: snapshot.limits.hardBytes,
            usedBytes: snapshot.usedBytes,
            dirtyBytes: snapshot.dirtyBytes,
            pinnedBytes: snapshot.pinnedBytes
        )
        upload = Upload(pendingBytes: snapshot.pendingBytes, paused: snapshot.isPaused)
        allocatedBytes = snapshot.allocatedBytes
        remote.state = snapshot.remoteState
        lastError = snapshot.lastError ?? lastError
        warnings = snapshot.warnings
        damaged = Damaged(total: snapshot.damagedObjects.total, objects: snapshot.damagedObjects.names)
    }

    /// The state, as far as the registry knows it without asking the engine.
    static func state(of entry: DiskRegistry.Entry) -> DiskState { state(entry, entry.failure) }

    private static func state(_ entry: DiskRegistry.Entry, _ engine: DiskSnapshot.State?) -> DiskState {
        switch entry.phase {
        case .attaching: .attaching
        case .detaching: .detaching
        case .destroying: .destroying
        case .attached:
            switch engine {
            case .fenced: .fenced
            case .diverged: .diverged
            case .failed: .failed
            case .attached, nil: .attached
            }
        case .detached:
            switch entry.trouble?.code {
            case nil: entry.trouble == nil ? .detached : .failed
            case .fenced: .fenced
            case .diverged: .diverged
            default: .failed
            }
        }
    }
}
