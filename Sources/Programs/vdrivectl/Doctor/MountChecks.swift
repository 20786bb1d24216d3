import FoundationEssentials
import Glibc

/// Mounts of disks that nobody serves any more, as a daemon that was killed leaves them.
enum MountChecks {
    private enum Answer {
        case alive, dead, silent
    }

    private static let patienceMilliseconds = 3000

    static func findings() -> [Finding] {
        guard let table = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else {
            return [.warning("mounts", "/proc/self/mountinfo cannot be read", advice: "mount /proc")]
        }
        let places = table.split(separator: "\n").compactMap(place)
        guard !places.isEmpty else { return [.ok("mounts", "no image of a disk is mounted")] }
        return places.map { place in
            switch ask(place) {
            case .alive: return .ok("mounts", "\(place) answers")
            case .dead:
                let advice = "start the daemon, which cleans up, or `umount --lazy \(place)`"
                return .problem("mounts", "\(place) is left over from a daemon that is gone", advice: advice)
            case .silent:
                let advice = "see the daemon's log; if it hangs, restart it"
                return .problem("mounts", "\(place) does not answer", advice: advice)
            }
        }
    }

    /// The place of a line of the mount table, if an image of ours is mounted there.
    private static func place(_ line: some StringProtocol) -> String? {
        let words = line.split(separator: " ")
        guard let end = words.firstIndex(of: "-"), end + 1 < words.count, words[end + 1] == "fuse.vdrive", end > 4
        else {
            return nil
        }
        return unescaped(words[4])
    }

    /// The kernel writes spaces and the like as three octal digits.
    private static func unescaped(_ word: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        var rest = Array(word.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Asks by a child: a daemon that hangs would let the one who asks hang too, and beyond the reach of signals.
    private static func ask(_ path: String) -> Answer {
        guard let program = MachineChecks.locate("stat") else { return .silent }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
        }
        let command = [program, "--file-system", "--", path]
        var words = command.map { strdup($0) as UnsafeMutablePointer<CChar>? }
        defer { for word in words { free(word) } }
        words.append(nil)
        var child: pid_t = 0
        guard posix_spawn(&child, program, &actions, nil, words, nil) == 0 else { return .silent }
        for _ in 0..<patienceMilliseconds / 10 {
            var status: CInt = 0
            if waitpid(child, &status, WNOHANG) == child { return status == 0 ? .alive : .dead }
            usleep(10_000)
        }
        kill(child, SIGKILL)
        return .silent
    }
}
