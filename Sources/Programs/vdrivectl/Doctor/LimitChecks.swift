import FoundationEssentials
import VDriveProtocol

/// What the kernel allows the daemon; what it allows this command, while there is no daemon.
enum LimitChecks {
    private static let filesWanted: UInt64 = 4096

    static func findings(daemon: Int32?) -> [Finding] {
        let process = daemon.map { "/proc/\($0)" } ?? "/proc/self"
        let whose = daemon == nil ? "this command, in place of the daemon," : "the daemon"
        guard let limits = try? String(contentsOfFile: "\(process)/limits", encoding: .utf8),
            let files = soft("Max open files", in: limits), let memory = soft("Max locked memory", in: limits)
        else {
            return [.warning("limits", "\(process)/limits cannot be read", advice: "run this as root")]
        }
        let status = (try? String(contentsOfFile: "\(process)/status", encoding: .utf8)) ?? ""
        return [ofFiles(files, whose: whose)]
            + [daemon == nil ? ofMemory(memory, whose: whose) : ofMemory(memory, isLocked: isLocked(status))]
    }

    private static func ofFiles(_ count: UInt64, whose: String) -> Finding {
        let text = "\(whose) may open \(count == .max ? "any number of" : "\(count)") files"
        guard count < filesWanted else { return .ok("limits", text) }
        return .warning("limits", text, advice: "allow \(filesWanted): LimitNOFILE= of its unit, or `ulimit -n`")
    }

    private static func ofMemory(_ bytes: UInt64, whose: String) -> Finding {
        .ok("limits", "\(whose) may lock \(bytes == .max ? "all of its" : ByteSize.text(bytes) + " of") memory")
    }

    /// The daemon locks its memory at its start, as well as it may; what came of it says more than its rights.
    private static func ofMemory(_ bytes: UInt64, isLocked: Bool) -> Finding {
        if isLocked { return .ok("limits", "the daemon has locked its memory") }
        return .warning(
            "limits",
            "the daemon could not lock its memory\(bytes == .max ? "" : ", the limit is \(ByteSize.text(bytes))"): "
                + "when memory is short, it may wait for the swap",
            advice: "LimitMEMLOCK=infinity and CAP_IPC_LOCK in its unit, or `ulimit -l unlimited`; then restart it"
        )
    }

    /// - Returns: the largest number for "unlimited"; nil when there is no such line.
    private static func soft(_ name: String, in limits: String) -> UInt64? {
        guard let line = limits.split(separator: "\n").first(where: { $0.hasPrefix(name) }),
            let word = line.dropFirst(name.count).split(separator: " ").first
        else { return nil }
        return word == "unlimited" ? .max : UInt64(word)
    }

    private static func isLocked(_ status: String) -> Bool {
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmLck:") }) else { return false }
        return line.contains { ("1"..."9").contains($0) }
    }
}
