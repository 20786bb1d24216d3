import FoundationEssentials
import Glibc
import VDriveProtocol

/// Room on the filesystems where the daemon keeps something: its state, the caches, a remote that is a folder.
///
/// Which these are is seen from the files that the daemon has open. So it is true whatever its configuration says, and
/// covers caches in other places.
enum SpaceChecks {
    private static let bytesLeast: UInt64 = 256 << 20
    private static let bytesWanted: UInt64 = 1 << 30
    private static let inodesLeast: UInt64 = 1000

    static func findings(daemon: Int32) -> [Finding] {
        let folder = "/proc/\(daemon)/fd"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            return [.warning("space", "the daemon's open files cannot be seen", advice: "run this as root")]
        }
        // The shortest path on each filesystem stands for it.
        var places: [UInt: String] = [:]
        for name in names {
            guard let (device, path) = place("\(folder)/\(name)") else { continue }
            if let known = places[device], known.count <= path.count { continue }
            places[device] = path
        }
        return places.values.sorted().flatMap(ofPlace)
    }

    /// The device and the folder of an open file; nil for what is no file on a filesystem, or was deleted.
    private static func place(_ link: String) -> (UInt, String)? {
        guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link), path.hasPrefix("/"),
            !["/dev/", "/proc/", "/sys/"].contains(where: path.hasPrefix), !path.hasSuffix(" (deleted)")
        else { return nil }
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return (status.st_dev, path)
        case S_IFREG: return (status.st_dev, String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex)))
        default: return nil
        }
    }

    private static func ofPlace(_ path: String) -> [Finding] {
        var room = statvfs()
        guard statvfs(path.isEmpty ? "/" : path, &room) == 0, room.f_blocks > 0 else { return [] }
        return [ofBytes(path, room), ofInodes(path, room)].compactMap(\.self)
    }

    private static func ofBytes(_ path: String, _ room: statvfs) -> Finding {
        let free = UInt64(room.f_bavail) * UInt64(room.f_frsize)
        let total = UInt64(room.f_blocks) * UInt64(room.f_frsize)
        let text = "\(path): \(ByteSize.text(free)) of \(ByteSize.text(total)) are free"
        let advice = "make room there, or choose smaller caches"
        if free < bytesLeast { return .problem("space", text, advice: advice) }
        if free < bytesWanted { return .warning("space", text, advice: advice) }
        return .ok("space", text)
    }

    /// - Returns: nil for a filesystem that makes inodes as it needs them.
    private static func ofInodes(_ path: String, _ room: statvfs) -> Finding? {
        guard room.f_files > 0 else { return nil }
        let text = "\(path): \(room.f_favail) of \(room.f_files) inodes are free"
        guard room.f_favail < inodesLeast else { return .ok("space", text) }
        return .problem("space", text, advice: "remove files there, or make the filesystem anew with more inodes")
    }
}
