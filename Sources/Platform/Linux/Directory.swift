package import Glibc

/// Directories and the names in them. Everything blocks; paths are absolute, or relative to the working directory.
package enum Directory {
    /// Makes one directory; exclusive: of several callers one succeeds.
    ///
    /// - Throws: `Errno.fileExists` when something of that name is there.
    package static func create(_ path: String, mode: mode_t = 0o700) throws(Errno) {
        try systemCall { mkdir(path, mode) }
    }

    /// Makes a directory and those above it, where they are missing. What exists keeps its mode.
    package static func createAll(_ path: String, mode: mode_t = 0o700) throws(Errno) {
        do {
            try create(path, mode: mode)
        } catch .fileExists {
            guard try FileStatus.of(path).kind == .directory else { throw .notDirectory }
        } catch .noSuchFileOrDirectory {
            guard let parent = parent(of: path), parent != path else { throw .noSuchFileOrDirectory }
            try createAll(parent, mode: mode)
            try createAll(path, mode: mode)
        }
    }

    /// The names in a directory, without `.` and `..`, sorted.
    package static func list(_ path: String) throws(Errno) -> [String] {
        guard let stream = opendir(path) else { throw Errno.current }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw Errno.current }
                return names.sorted()
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// Makes the names in a directory durable: what was created, renamed or removed in it.
    package static func sync(_ path: String) throws(Errno) {
        try OpenFile.open(path, flags: O_RDONLY | O_DIRECTORY).sync()
    }

    /// Removes a directory and all below it, or a file; links are removed, not followed, and other filesystems
    /// that are mounted below make it fail. Nothing there is no error.
    package static func removeTree(_ path: String) throws(Errno) {
        do {
            guard try FileStatus.of(path, followsLinks: false).kind == .directory else { return try removeFile(path) }
            for name in try list(path) { try removeTree("\(path)/\(name)") }
            try removeEmpty(path)
        } catch .noSuchFileOrDirectory {
            return
        }
    }

    /// Removes an empty directory.
    package static func removeEmpty(_ path: String) throws(Errno) {
        try systemCall { rmdir(path) }
    }

    /// Removes a name that is not a directory.
    package static func removeFile(_ path: String) throws(Errno) {
        try systemCall { unlink(path) }
    }

    /// Gives a file or directory another name on the same filesystem, in one step; what had that name is replaced.
    package static func rename(_ path: String, to newPath: String) throws(Errno) {
        try systemCall { Glibc.rename(path, newPath) }
    }

    /// Whether there is anything of this name; a link counts, wherever it points.
    package static func exists(_ path: String) -> Bool {
        var raw = stat()
        return lstat(path, &raw) == 0
    }

    /// The path without its last component; nil when there is none.
    package static func parent(of path: String) -> String? {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.last == "/" { trimmed.removeLast() }
        guard let slash = trimmed.lastIndex(of: "/") else { return "." }
        guard slash != trimmed.startIndex else { return trimmed.count > 1 ? "/" : nil }
        return String(trimmed[..<slash])
    }

    /// The absolute path with all links followed; every component must exist.
    package static func resolve(_ path: String) throws(Errno) -> String {
        guard let resolved = realpath(path, nil) else { throw Errno.current }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// A name beside `path` that nobody else uses: for a file that is to be renamed to `path` when it is complete.
    ///
    /// Names of this form begin with a dot and end in `.tmp`, so that what a crash leaves can be found.
    package static func temporaryName(for path: String) -> String {
        let directory = parent(of: path) ?? "/"
        let name = path.split(separator: "/").last ?? "file"
        var generator = SystemRandomNumberGenerator()
        let number: UInt64 = generator.next()
        return "\(directory)/.\(name).\(String(number, radix: 36)).tmp"
    }
}
