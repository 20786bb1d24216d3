import Glibc
import Linux

/// What this machine must have before a disk can be attached: each thing that is missing is one sentence that says what
/// to do.
package enum HostCheck {
    /// All that is missing; empty when the disk can be attached.
    package static func problems(filesystem: Filesystem) -> [String] {
        var problems: [String] = []
        if geteuid() != 0 {
            problems.append("The daemon does not run as root, which loop devices and mounts need; start it as root.")
        }
        for (device, module) in [("/dev/fuse", "fuse"), ("/dev/loop-control", "loop")]
        where access(device, R_OK | W_OK) != 0 {
            problems.append("\(device) cannot be used; run `modprobe \(module)`, and give it to the container, if any.")
        }
        var programs = ["losetup", "mount", "umount", "wipefs"]
        if filesystem != .none { programs.append("mkfs.\(filesystem.rawValue)") }
        for program in programs where Subprocess.locate(program) == nil {
            problems.append("The program \(program) is missing; install \(package(of: program)).")
        }
        return problems
    }

    /// Whether a path lies on the filesystem mounted at `mountPoint`, or would lie there once it is mounted, going by
    /// names, and by the device when the path exists: a cache there would wait for itself.
    ///
    /// - Parameter path: absolute; need not exist. Blocks.
    package static func liesOn(_ path: String, mountPoint: String) throws(HostError) -> Bool {
        if isAtOrBelow(path, mountPoint) { return true }
        let table = try MountTable.current()
        let mounted = table.entry(at: mountPoint)
        if let mounted, table.entry(containing: path)?.device == mounted.device { return true }
        guard let existing = nearestExisting(path), let real = try? Directory.resolve(existing) else { return false }
        if isAtOrBelow(real, mountPoint) { return true }
        return mounted != nil && table.entry(containing: real)?.device == mounted?.device
    }

    /// The sentence for a cache folder that lies on the disk itself, or nil.
    package static func cacheProblem(cacheFolder: String, mountPoint: String) throws(HostError) -> String? {
        guard try liesOn(cacheFolder, mountPoint: mountPoint) else { return nil }
        return "The cache \(cacheFolder) lies on the disk itself, mounted on \(mountPoint), and would wait for itself; "
            + "choose a folder on a local SSD."
    }

    /// Debian's package that has a program.
    static func package(of program: String) -> String {
        switch program {
        case "mkfs.ext4": "e2fsprogs"
        case "mkfs.xfs": "xfsprogs"
        case "mount", "umount", "losetup": "mount"
        default: "util-linux"
        }
    }

    private static func isAtOrBelow(_ path: String, _ folder: String) -> Bool {
        path == folder || path.hasPrefix(folder + "/")
    }

    private static func nearestExisting(_ path: String) -> String? {
        var candidate = path
        while !Directory.exists(candidate) {
            guard let parent = Directory.parent(of: candidate), parent != candidate else { return nil }
            candidate = parent
        }
        return candidate
    }
}
