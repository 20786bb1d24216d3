import Glibc
import Linux

/// Goes through a directory and all below it, in the filesystem's own order, holding one open directory a level and no
/// list of names: a directory of a million files costs no more memory than one of ten.
///
/// Links are not followed, and other mounts are not entered. What goes away meanwhile is left out.
final class TreeWalk {
    /// One thing that was found.
    struct Item {
        let path: String
        let name: [UInt8]
        let status: FileStatus
        /// The directory that it lies in.
        let directory: DirectoryStream
    }

    private struct Level {
        /// In the level above; empty for the root.
        let name: [UInt8]
        let path: String
        let stream: DirectoryStream
        /// Where the next name is.
        var next = 0
    }

    /// Deeper trees are cut here, and counted as a problem: each level is an open file.
    private static let levelsMax = 512

    private let device: UInt64
    private let isRecursive: Bool
    /// What is mounted below the root.
    private let mounts: Set<[UInt8]>
    private var levels: [Level] = []
    /// The directory found last, which is entered next.
    private var pending: Item?
    /// What could not be looked at: how many, and why the first one.
    private(set) var problems: (count: UInt64, first: String?) = (0, nil)
    /// Hears of each of them, with the path and whether it is a directory.
    var onProblem: ((String, Bool, Errno) -> Void)?

    /// - Parameters:
    ///   - root: a directory.
    ///   - path: the root's, without a slash at its end unless it is all.
    ///   - mounts: the paths of all mounts below the root, as bytes: names that look alike are different ones.
    init(_ root: OpenFile, path: String, isRecursive: Bool, mounts: Set<[UInt8]>) throws(Errno) {
        device = try root.status().device
        self.isRecursive = isRecursive
        self.mounts = mounts
        levels = [Level(name: [], path: path == "/" ? "" : path, stream: try DirectoryStream(root))]
    }

    /// The next thing below the root; a directory comes before what is in it.
    func next() -> Item? {
        enterPending()
        while let level = levels.last {
            do throws(Errno) {
                guard let entry = try level.stream.next() else {
                    levels.removeLast()
                    continue
                }
                levels[levels.count - 1].next = entry.next
                if let item = item(entry, in: level) { return item }
            } catch {
                note(level.path, error)
                levels.removeLast()
            }
        }
        return nil
    }

    private func item(_ entry: DirectoryStream.Entry, in level: Level) -> Item? {
        let path = "\(level.path)/\(String(decoding: entry.name, as: UTF8.self))"
        let status: FileStatus
        do throws(Errno) { status = try level.stream.status(of: entry.name) } catch {
            if error != .noSuchFileOrDirectory { note(path, isDirectory: false, error) }
            return nil
        }
        guard status.device == device, mounts.isEmpty || !mounts.contains(Array(path.utf8)) else { return nil }
        let item = Item(path: path, name: entry.name, status: status, directory: level.stream)
        if status.kind == .directory, isRecursive { pending = item }
        return item
    }

    private func enterPending() {
        guard let item = pending else { return }
        pending = nil
        guard levels.count < Self.levelsMax else { return note(item.path, .tooManyOpenFiles) }
        do throws(Errno) {
            let directory = try item.directory.open(item.name, flags: O_RDONLY | O_DIRECTORY)
            guard try directory.status().device == device else { return }
            levels.append(Level(name: item.name, path: item.path, stream: try DirectoryStream(directory)))
        } catch .noSuchFileOrDirectory, .notDirectory {
            return
        } catch {
            note(item.path, error)
        }
    }

    private func note(_ path: String, isDirectory: Bool = true, _ error: Errno) {
        onProblem?(path, isDirectory, error)
        problems.count += 1
        problems.first = problems.first ?? "\(path): \(error)"
    }

    // MARK: Going on later

    /// Where the walk is: for `resume`, also in another process.
    var position: String {
        var words = levels.map { level in
            "\(level.name.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()).\(level.next)"
        }
        // The directory found last has not been entered.
        if let pending {
            words.append("\(pending.name.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()).0")
        }
        return words.joined(separator: "/")
    }

    /// Goes on at a position of an earlier walk with the same root. Directories that are gone are left out.
    ///
    /// - Returns: false when this is no position.
    func resume(at position: String) -> Bool {
        let words = position.split(separator: "/", omittingEmptySubsequences: false)
        for (depth, word) in words.enumerated() {
            let parts = word.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, let next = Int(parts[1]), next >= 0, let name = Self.bytes(parts[0]),
                name.isEmpty == (depth == 0), !name.contains(0x2F), !name.contains(0)
            else { return false }
            if depth > 0 {
                let parent = levels[levels.count - 1]
                let path = "\(parent.path)/\(String(decoding: name, as: UTF8.self))"
                guard let directory = try? parent.stream.open(name, flags: O_RDONLY | O_DIRECTORY),
                    (try? directory.status().device) == device, let stream = try? DirectoryStream(directory)
                else { return true }
                levels.append(Level(name: name, path: path, stream: stream))
            }
            levels[levels.count - 1].next = next
            if next > 0 { levels[levels.count - 1].stream.seek(to: next) }
        }
        return true
    }

    private static func bytes(_ digits: Substring) -> [UInt8]? {
        let digits = Array(digits.utf8)
        guard digits.count.isMultiple(of: 2), digits.count <= 510 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[index..<index + 2], as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }
}
