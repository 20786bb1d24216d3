import Glibc
import Linux

/// Files and directories one by one, in pages.
extension PathResolver {
    func list(_ page: PathQuestion.Page, on device: UInt64) throws(PathAnswer.Failure) {
        var index = 0
        var position: String?
        if let token = page.token {
            guard let colon = token.firstIndex(of: ":"), let number = Int(token[..<colon]),
                question.targets.indices.contains(number)
            else { throw Self.badToken }
            index = number
            position = String(token[token.index(after: colon)...])
        }
        var room = PageRoom(entries: page.entriesMax)
        for (number, target) in question.targets.enumerated().dropFirst(index) {
            let root = try open(target.path, on: device)
            guard root.status.kind == .directory else {
                guard room.isThere else { return emit(.pageEnd(token: "\(number):")) }
                emit(.entry(entry(root.path, root.status) { () throws(Errno) in root.file }))
                room.take(root.path)
                continue
            }
            let walk = try walk(root, isRecursive: target.isRecursive)
            walk.onProblem = { path, isDirectory, error in
                let kind: PathAnswer.Entry.Kind = isDirectory ? .directory : .file
                let text = "\(error)"
                self.emit(.entry(PathAnswer.Entry(path: path, kind: kind, bytes: 0, ranges: [], problem: text)))
                room.take(path)
            }
            if let from = position, !from.isEmpty, !walk.resume(at: from) { throw Self.badToken }
            position = nil
            while true {
                guard room.isThere else {
                    return emit(.pageEnd(token: "\(number):\(walk.position)"))
                }
                guard let item = walk.next() else { break }
                guard item.status.kind == .file || item.status.kind == .directory else { continue }
                emit(
                    .entry(
                        entry(item.path, item.status) { () throws(Errno) in
                            try item.directory.open(item.name, flags: O_RDONLY | O_NONBLOCK)
                        }
                    )
                )
                room.take(item.path)
            }
        }
        emit(.pageEnd(token: nil))
    }

    /// What still fits into a page: a line of the control protocol has its limit.
    private struct PageRoom {
        /// Whatever an entry has beside its path.
        private static let bytesAnEntry = 400
        /// A character may be written as six.
        private static let bytesAByte = 6

        private var entries: Int
        private var bytes = 900_000

        init(entries: Int) { self.entries = entries }

        var isThere: Bool { entries > 0 && bytes > 0 }

        mutating func take(_ path: String) {
            entries -= 1
            bytes -= Self.bytesAnEntry + Self.bytesAByte * path.utf8.count
        }
    }

    private static var badToken: PathAnswer.Failure {
        PathAnswer.Failure(kind: .unsuitable, message: "This is no token that a list of these paths has given.")
    }

    private func entry(
        _ path: String,
        _ status: FileStatus,
        _ open: () throws(Errno) -> OpenFile
    ) -> PathAnswer.Entry {
        var entry = PathAnswer.Entry(
            path: path,
            kind: status.kind == .directory ? .directory : .file,
            bytes: status.kind == .directory ? 0 : status.bytes,
            ranges: []
        )
        guard status.kind == .file else { return entry }
        do throws(Errno) {
            let content = try content(of: try open(), bytes: status.bytes)
            entry.ranges = [UInt64](content.ranges)
            entry.unplacedBytes = content.unplacedBytes
        } catch {
            entry.problem = "\(error)"
        }
        return entry
    }
}
