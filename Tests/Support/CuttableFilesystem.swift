internal import Foundation
internal import Glibc
internal import Linux

/// A filesystem of its own on a loop device, whose power can be cut for real: what was not synced is gone.
///
/// A shutdown (what `xfs_io -x -c shutdown` does, on xfs and ext4 alike) drops all that was not written. Nobody
/// may have a file open when the power comes back: the old filesystem would stay in memory, so a daemon that lives
/// there is killed first. Where a test does not get that far, the Janitor of the folder unmounts it.
package struct CuttableFilesystem: Sendable {
    package enum Kind: String, CaseIterable, Sendable { case ext4, xfs }

    private let image: String
    package let mountPoint: String

    /// Makes a filesystem and mounts it.
    ///
    /// - Parameters:
    ///   - image: its file, which is made; sparse, 512 MiB.
    ///   - mountPoint: a folder, which is made.
    package static func make(_ kind: Kind, image: String, at mountPoint: String) async throws -> CuttableFilesystem {
        try await mustRun(["truncate", "-s", "512M", image])
        let quiet = kind == .ext4 ? ["-q", "-F"] : ["-q", "-f"]
        try await mustRun(["mkfs.\(kind.rawValue)"] + quiet + [image])
        let made = CuttableFilesystem(image: image, mountPoint: mountPoint)
        try FileManager.default.createDirectory(atPath: mountPoint, withIntermediateDirectories: true)
        try await made.mount()
        return made
    }

    /// Each mount has a loop device of its own, which goes with it. `mount -o loop` would take the old device again,
    /// and with it the filesystem that was shut down, if a copy of its mount lives on in somebody's mount namespace.
    private func mount() async throws {
        let device = try await mustRun(["losetup", "--find", "--show", image]).filter { $0 != "\n" }
        defer { _ = try? runProgramBlocking(["losetup", "--detach", device]) }
        try await mustRun(["mount", device, mountPoint])
    }

    // SAFETY: a function of the C library, looked up once; the shutdown reads four bytes from where the pointer points.
    nonisolated(unsafe) private static let ioctl = unsafeBitCast(
        dlsym(dlopen(nil, RTLD_NOW), "ioctl"),
        to: (@convention(c) (CInt, CUnsignedLong, UnsafeMutablePointer<UInt32>) -> CInt).self
    )
    /// `XFS_IOC_GOINGDOWN`, which is `EXT4_IOC_SHUTDOWN` too.
    private static let shutdownCall: CUnsignedLong = 0x8004_587D
    /// Not even the journal is written.
    private static let withoutLog: UInt32 = 2

    /// From now on nothing can be read or written there, and what was not synced never will be.
    ///
    /// No program is run for it: a child closes, at its exec, the files that the test holds open, and FUSE makes a
    /// flush of every close.
    package func cutPower() async throws {
        let mountPoint = mountPoint
        try await blocking {
            let folder = try OpenFile.open(mountPoint, flags: O_RDONLY | O_DIRECTORY)
            var flag = Self.withoutLog
            guard Self.ioctl(folder.descriptor, Self.shutdownCall, &flag) == 0 else { throw Errno.current }
        }
    }

    /// The machine starts again: the journal is replayed.
    package func restorePower() async throws {
        try await unmount()
        try await mount()
    }

    package func unmount() async throws { try await mustRun(["umount", mountPoint]) }
}
