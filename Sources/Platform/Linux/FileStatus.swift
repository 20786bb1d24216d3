internal import CLinux
package import Glibc

/// What `stat` says of a file.
package struct FileStatus: Hashable, Sendable {
    package enum Kind: Sendable {
        case file, directory, symbolicLink, blockDevice, characterDevice, socket, pipe
    }

    package let kind: Kind
    /// The device that the file lies on, as the kernel numbers it.
    package let device: UInt64
    package let inode: UInt64
    /// The device that a device file stands for; 0 for others.
    package let specialDevice: UInt64
    /// The permission bits, 0…0o7777.
    package let mode: mode_t
    package let owner: uid_t
    package let group: gid_t
    /// The length in bytes; 0 for devices.
    package let bytes: UInt64
    /// The bytes taken on the filesystem.
    package let allocatedBytes: UInt64
    /// Seconds since 1970.
    package let modifiedSeconds: Int
    /// When the content or an attribute last changed, in nanoseconds since 1970.
    package let changedNanoseconds: Int64
    /// How many names the file has.
    package let links: UInt64

    package init(_ raw: stat) {
        kind =
            switch raw.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            case S_IFBLK: .blockDevice
            case S_IFCHR: .characterDevice
            case S_IFSOCK: .socket
            case S_IFIFO: .pipe
            default: .file
            }
        device = UInt64(raw.st_dev)
        inode = UInt64(raw.st_ino)
        specialDevice = UInt64(raw.st_rdev)
        mode = raw.st_mode & 0o7777
        owner = raw.st_uid
        group = raw.st_gid
        bytes = UInt64(max(0, raw.st_size))
        // st_blocks counts in 512 bytes, whatever the filesystem's blocks are.
        allocatedBytes = UInt64(max(0, raw.st_blocks)) * 512
        modifiedSeconds = raw.st_mtim.tv_sec
        changedNanoseconds = Int64(raw.st_ctim.tv_sec) * 1_000_000_000 + Int64(raw.st_ctim.tv_nsec)
        links = UInt64(raw.st_nlink)
    }

    /// Looks at a path.
    ///
    /// - Parameter followsLinks: whether the last component, when it is a symbolic link, is followed.
    package static func of(_ path: String, followsLinks: Bool = true) throws(Errno) -> FileStatus {
        var raw = stat()
        try systemCall { followsLinks ? stat(path, &raw) : lstat(path, &raw) }
        return FileStatus(raw)
    }
}

/// A device's number, as `/sys` and `/proc/self/mountinfo` write it.
package struct DeviceNumber: Hashable, Sendable, CustomStringConvertible {
    package let major: UInt32
    package let minor: UInt32

    package init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// From `FileStatus.device` or `specialDevice`.
    package init(_ device: UInt64) {
        self.init(major: CLinux_device_major(device), minor: CLinux_device_minor(device))
    }

    /// Reads the form of `description`.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
        self.init(major: major, minor: minor)
    }

    package var description: String { "\(major):\(minor)" }
}

/// The room on the filesystem that a path lies on, in bytes.
package struct FilesystemSpace: Hashable, Sendable {
    package let totalBytes: UInt64
    /// Free for anybody: without what the filesystem keeps for root.
    package let availableBytes: UInt64
    /// Free, with what is kept for root.
    package let freeBytes: UInt64
    package let totalInodes: UInt64
    package let freeInodes: UInt64
    /// Mounted read-only, or turned so by an error.
    package let isReadOnly: Bool

    package static func of(_ path: String) throws(Errno) -> FilesystemSpace {
        var raw = statvfs()
        try systemCall { statvfs(path, &raw) }
        return FilesystemSpace(raw)
    }

    package static func of(_ file: OpenFile) throws(Errno) -> FilesystemSpace {
        var raw = statvfs()
        try systemCall { fstatvfs(file.descriptor, &raw) }
        return FilesystemSpace(raw)
    }

    private init(_ raw: statvfs) {
        let unit = UInt64(raw.f_frsize)
        totalBytes = UInt64(raw.f_blocks) * unit
        availableBytes = UInt64(raw.f_bavail) * unit
        freeBytes = UInt64(raw.f_bfree) * unit
        totalInodes = UInt64(raw.f_files)
        freeInodes = UInt64(raw.f_ffree)
        isReadOnly = raw.f_flag & UInt(ST_RDONLY) != 0
    }
}

/// Which filesystem a path lies on, and of what kind it is.
package struct FilesystemIdentity: Hashable, Sendable {
    package let device: DeviceNumber
    /// The magic number of `statfs`, for example 0xEF53 for ext4.
    package let magic: UInt64

    package static let ext4Magic: UInt64 = 0xEF53
    package static let xfsMagic: UInt64 = 0x5846_5342
    package static let fuseMagic: UInt64 = 0x6573_5546
    package static let temporaryMagic: UInt64 = 0x0102_1994

    /// - Parameter path: an existing file or directory.
    package static func of(_ path: String) throws(Errno) -> FilesystemIdentity {
        let status = try FileStatus.of(path)
        var magic: UInt64 = 0
        try shimCall { CLinux_filesystem_magic(path, &magic) }
        return FilesystemIdentity(device: DeviceNumber(status.device), magic: magic)
    }
}
