import Linux
import VDriveModel
import VDriveProtocol

/// Keeps what a disk is made of off the disks themselves: a cache that needs the disk in order to serve the disk waits
/// for itself for ever.
struct PlaceCheck: Sendable {
    /// The kernel's device numbers of all that attached disks show, and whose they are.
    let devices: [UInt64: DiskName]

    /// Checks where a folder is, or is going to be.
    ///
    /// - Parameter purpose: the subject of the sentence, such as "The cache directory".
    /// - Throws: `invalidParams` for a path that is not absolute, `refused` for one on a vdrive disk.
    func check(_ path: String, purpose: String) throws(RPCError) {
        guard path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw RPCError(.invalidParams, "\(purpose) \(path) must be an absolute path without ..; write it in full.")
        }
        guard let existing = Self.existing(path), let status = try? FileStatus.of(existing) else { return }
        if let name = devices[status.device] {
            throw RPCError(
                .refused,
                "\(purpose) \(path) lies on the vdrive disk \(name); choose a folder on a local SSD."
            )
        }
        guard status.kind == .directory else {
            throw RPCError(.invalidParams, "\(purpose) \(path) leads through \(existing), which is no folder.")
        }
    }

    /// Checks that a filesystem mounted at `mountPoint` would not cover `path`.
    ///
    /// - Throws: `refused`.
    static func check(mountPoint: String, doesNotCover path: String, purpose: String) throws(RPCError) {
        guard isInside(resolved(path), resolved(mountPoint)) else { return }
        throw RPCError(
            .refused,
            "\(purpose) \(path) would lie on the disk itself when it is mounted at \(mountPoint); "
                + "mount the disk elsewhere."
        )
    }

    private static func isInside(_ path: String, _ folder: String) -> Bool {
        path.isSamePath(as: folder) || path.isBelow(folder)
    }

    /// The longest part of a path that is there.
    static func existing(_ path: String) -> String? {
        var path = path
        while !Directory.exists(path) {
            guard let parent = Directory.parent(of: path), parent != path else { return nil }
            path = parent
        }
        return path
    }

    /// A path with the links in its existing part followed.
    private static func resolved(_ path: String) -> String {
        guard let existing = existing(path), let real = try? Directory.resolve(existing) else { return path }
        let rest = path.dropFirst(existing.count).drop { $0 == "/" }
        let joined = rest.isEmpty ? real : "\(real == "/" ? "" : real)/\(rest)"
        return joined.count > 1 && joined.hasSuffix("/") ? String(joined.dropLast()) : joined
    }
}
