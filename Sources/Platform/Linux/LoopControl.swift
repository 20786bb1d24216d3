internal import CLinux
import Glibc

/// The bare calls on `/dev/loop-control` and loop devices; `VDriveHost.LoopDevice` makes steps of them. All block.
package enum LoopControl {
    package struct Status: Hashable, Sendable {
        /// The device and inode of the backing file, as `FileStatus` has them.
        package let backingDevice: UInt64
        package let backingInode: UInt64
        package let isDirectIO: Bool
        /// Whether the kernel detaches it when the last one closes it.
        package let isAutoclear: Bool
    }

    package static let controlPath = "/dev/loop-control"

    /// The number of a loop device that is free now, which may be taken by somebody else a moment later.
    package static func freeNumber() throws(Errno) -> Int {
        let control = try OpenFile.open(controlPath, flags: O_RDWR)
        return Int(try shimCall { CLinux_loop_get_free(control.descriptor) })
    }

    /// Attaches a file to a loop device, in one step (`LOOP_CONFIGURE`, Linux 5.8).
    ///
    /// - Parameter name: shown by `losetup` without `/sys`; cut at 63 bytes.
    /// - Throws: `Errno.resourceBusy` when the device has a file already.
    package static func configure(
        _ device: OpenFile,
        backing: OpenFile,
        blockBytes: Int,
        isDirectIO: Bool,
        isReadOnly: Bool,
        name: String
    ) throws(Errno) {
        try shimCall {
            CLinux_loop_configure(
                device.descriptor,
                backing.descriptor,
                UInt32(blockBytes),
                isDirectIO ? 1 : 0,
                isReadOnly ? 1 : 0,
                name
            )
        }
    }

    /// What a loop device stands for.
    ///
    /// - Throws: `Errno.noSuchAddressOrDevice` when nothing is attached.
    package static func status(_ device: OpenFile) throws(Errno) -> Status {
        var backingDevice: UInt64 = 0
        var backingInode: UInt64 = 0
        var flags: UInt32 = 0
        try shimCall { CLinux_loop_status(device.descriptor, &backingDevice, &backingInode, &flags) }
        return Status(
            backingDevice: backingDevice,
            backingInode: backingInode,
            isDirectIO: flags & CLinux_loop_flag_direct_io != 0,
            isAutoclear: flags & CLinux_loop_flag_autoclear != 0
        )
    }

    /// Detaches; while others have the device open, the kernel does it when the last one closes it.
    package static func clear(_ device: OpenFile) throws(Errno) {
        try shimCall { CLinux_loop_clear(device.descriptor) }
    }

    /// Makes the device as large as its file is now.
    package static func updateCapacity(_ device: OpenFile) throws(Errno) {
        try shimCall { CLinux_loop_set_capacity(device.descriptor) }
    }
}
