import VDriveEngine
import VDriveFuse
import VDriveHost
import VDriveProtocol

/// All that an attached disk holds in this process and in the kernel.
struct AttachedDisk: Sendable {
    let disk: Disk
    let fuse: FuseSession
    /// Nil for a bare image.
    let volume: Volume?
    /// The kernel's device numbers of what the disk shows; see `PlaceCheck`.
    let devices: Set<UInt64>
    /// Who works with the disk beside its users.
    let steering = Steering()
    /// Nil for a bare image.
    let pins: PinFollower?

    /// The part from the image up to the user's mount point.
    struct Volume: Sendable {
        let loop: LoopDevice
        let filesystem: FilesystemChoice
        let mountPoint: String
        /// Whether the folder came into being for this mount, and goes with it.
        let isMountPointOurs: Bool
        let isReadOnly: Bool
        /// Tells where its files lie.
        let paths: PathAsker
    }

    var filesystem: FilesystemChoice { volume?.filesystem ?? .none }
}
