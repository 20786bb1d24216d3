internal import CFuse
internal import Glibc
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The two nodes of the mount, with fixed numbers so that a restarted daemon means the same by them.
enum ImageNode {
    static let root: fuse_ino_t = 1
    static let image: fuse_ino_t = 2
    static let imageName = "disk.img"
    /// Names never change; sizes neither. Only `st_blocks` does, so attributes are asked again after a second.
    static let entrySeconds = 3600.0
    static let attributeSeconds = 1.0

    static func attributes(of node: fuse_ino_t, dataPlane: DataPlane, mountedAt: timespec) -> stat? {
        var attributes = stat()
        attributes.st_ino = ino_t(node)
        attributes.st_uid = getuid()
        attributes.st_gid = getgid()
        attributes.st_blksize = 4096
        attributes.st_atim = mountedAt
        attributes.st_mtim = mountedAt
        attributes.st_ctim = mountedAt
        switch node {
        case root:
            attributes.st_mode = S_IFDIR | 0o700
            attributes.st_nlink = 2
        case image:
            attributes.st_mode = S_IFREG | 0o600
            attributes.st_nlink = 1
            attributes.st_size = off_t(dataPlane.geometry.diskBytes)
            attributes.st_blocks = blkcnt_t(dataPlane.counters.allocatedBytes.load(ordering: .relaxed) / 512)
        default: return nil
        }
        return attributes
    }
}
