import FoundationEssentials
import Glibc

/// What a machine must have before a disk can be attached, whether the daemon runs or not.
enum MachineChecks {
    /// Where the daemon looks for programs, too.
    private static let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    static func findings() -> [Finding] {
        [
            device("fuse", path: "/dev/fuse", module: "fuse"), fusermount(),
            device("loop", path: "/dev/loop-control", module: "loop"),
        ] + programs() + [clock()]
    }

    private static func device(_ subject: String, path: String, module: String) -> Finding {
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        let code = errno
        guard descriptor < 0 else {
            close(descriptor)
            return .ok(subject, "\(path) can be opened")
        }
        let reason = String(cString: strerror(code))
        let advice =
            switch code {
            case EACCES where geteuid() != 0: "run this, and the daemon, as root"
            case EACCES, EPERM: "give the device to the container, and allow it there"
            default: "run `modprobe \(module)`, and give the device to the container, if any"
            }
        return .problem(subject, "\(path) cannot be opened: \(reason)", advice: advice)
    }

    private static func fusermount() -> Finding {
        if let path = locate("fusermount3") { return .ok("fuse", "\(path) is there") }
        return .warning(
            "fuse",
            "fusermount3 is missing, which a daemon without the right to mount needs",
            advice: "install fuse3"
        )
    }

    /// Without the first ones no disk can be attached with a filesystem; mkfs is for new ones alone.
    private static func programs() -> [Finding] {
        let needed = ["losetup": "mount", "mount": "mount", "umount": "mount", "wipefs": "util-linux"]
        let missing = needed.keys.filter { locate($0) == nil }.sorted()
        var findings = missing.map { program in
            Finding.problem(
                "programs",
                "\(program) is missing; no filesystem can be mounted",
                advice: "install \(needed[program] ?? "it")"
            )
        }
        if missing.isEmpty {
            findings.append(.ok("programs", needed.keys.sorted().joined(separator: ", ") + " are there"))
        }
        for (program, package) in [("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs")] {
            if let path = locate(program) {
                findings.append(.ok("programs", "\(path) is there"))
            } else {
                let text = "\(program) is missing; no new disk can be formatted with it"
                findings.append(.warning("programs", text, advice: "install \(package)"))
            }
        }
        return findings
    }

    static func locate(_ program: String) -> String? {
        folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    /// A clock that stands before this program was made, or in another century, is wrong: certificates seem invalid
    /// then, and the times of objects on the remote mislead.
    private static func clock() -> Finding {
        let now = Date.now
        var own = stat()
        let isKnown = stat("/proc/self/exe", &own) == 0
        let made = Date(timeIntervalSince1970: isKnown ? Double(own.st_mtim.tv_sec) : 0)
        let latest = Date(timeIntervalSince1970: 4_102_444_800)  // 2100
        let text = "the clock says \(now.formatted(.iso8601))"
        guard now >= made.addingTimeInterval(-86_400), now < latest else {
            let bound = now < latest ? "before this program was made, \(made.formatted(.iso8601))" : "after 2100"
            return .problem("clock", "\(text), which is \(bound)", advice: "set it, and let NTP keep it")
        }
        return .ok("clock", text)
    }
}
