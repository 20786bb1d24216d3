import Glibc

/// `mount(2)` and `umount2(2)`. Both block for as long as the device does.
package enum MountCalls {
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt
        package init(rawValue: UInt) { self.rawValue = rawValue }

        package static let readOnly = Flags(rawValue: 1)
        package static let noSetUserID = Flags(rawValue: 2)
        package static let noDevices = Flags(rawValue: 4)
        package static let noAccessTime = Flags(rawValue: 1024)
        package static let noDirectoryAccessTime = Flags(rawValue: 2048)
    }

    /// - Parameters:
    ///   - options: the filesystem's own, separated by commas.
    package static func mount(
        _ source: String,
        at path: String,
        type: String,
        flags: Flags = [],
        options: String = ""
    ) throws(Errno) {
        try systemCall { Glibc.mount(source, path, type, flags.rawValue, options) }
    }

    /// - Parameter isLazy: takes the mount out of the tree now, and lets it go when nobody uses it any more.
    package static func unmount(_ path: String, isLazy: Bool = false) throws(Errno) {
        // UMOUNT_NOFOLLOW: a link at the path is somebody else's doing.
        try systemCall { umount2(path, CInt(8 | (isLazy ? 2 : 0))) }
    }
}
