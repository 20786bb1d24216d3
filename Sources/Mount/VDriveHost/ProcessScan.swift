import Glibc
import Linux

/// Who uses a mount or a device, found in `/proc` without touching the filesystem itself.
package enum ProcessScan {
    package struct User: Hashable, Sendable, CustomStringConvertible {
        package let process: Int
        package let name: String

        package var description: String { "\(name) (\(process))" }
    }

    /// The processes that have a file, their working directory, their root or their program at or below a path.
    package static func users(below path: String) -> [User] {
        users { target in target == path || target.hasPrefix(path + "/") }
    }

    /// The processes that have a device open. Mounts are no processes, and are not found.
    package static func users(ofDevice devicePath: String) -> [User] {
        users { $0 == devicePath }
    }

    /// For the end of a sentence: " by bash (12) and 3 others", or nothing.
    static func sentence(_ users: [User]) -> String {
        let shown = users.prefix(5).map(\.description).joined(separator: ", ")
        let rest = users.count - 5
        return users.isEmpty ? "" : " by \(shown)" + (rest > 0 ? " and \(rest) more" : "")
    }

    private static func users(_ isUsed: (String) -> Bool) -> [User] {
        let processes = ((try? Directory.list("/proc")) ?? []).compactMap(Int.init).sorted()
        return processes.compactMap { process in
            let folder = "/proc/\(process)"
            let descriptors = ((try? Directory.list("\(folder)/fd")) ?? []).map { "\(folder)/fd/\($0)" }
            let links = ["cwd", "root", "exe"].map { "\(folder)/\($0)" } + descriptors
            guard links.contains(where: { link in target(of: link).map(isUsed) ?? false }) else { return nil }
            return User(process: process, name: (try? readText("\(folder)/comm")) ?? "?")
        }
    }

    private static func target(of link: String) -> String? {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(PATH_MAX)) { buffer in
            let count = buffer.withMemoryRebound(to: CChar.self) { readlink(link, $0.baseAddress!, $0.count) }
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
    }
}

/// Asks again and again, on a thread that may block, until the answer is yes or the time is over.
func waitUntil(seconds: Int, _ condition: () -> Bool) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    var pauseMicroseconds: UInt32 = 1000
    while !condition() {
        guard ContinuousClock.now < deadline else { return false }
        usleep(pauseMicroseconds)
        pauseMicroseconds = min(pauseMicroseconds * 2, 200_000)
    }
    return true
}
