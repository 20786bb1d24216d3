import Glibc

/// The names in an open directory, one after the other, from a position that can be kept.
///
/// Belongs to one thread, and blocks.
package final class DirectoryStream {
    package struct Entry: Sendable {
        /// Bytes without a slash and without NUL; need not be UTF-8.
        package let name: [UInt8]
        /// Where the next entry is: for `seek`, also in another process, for as long as the directory's entries stay.
        package let next: Int
    }

    private let stream: OpaquePointer

    /// - Parameter directory: may be closed afterwards.
    package init(_ directory: OpenFile) throws(Errno) {
        let copy = try systemCall { fcntl(directory.descriptor, F_DUPFD_CLOEXEC, 0) }
        guard let stream = fdopendir(copy) else {
            let error = Errno.current
            close(copy)
            throw error
        }
        self.stream = stream
        // The copy stands where the original does.
        rewinddir(stream)
    }

    deinit { closedir(stream) }

    package func seek(to position: Int) { seekdir(stream, position) }

    /// The next entry, without `.` and `..`; nil at the end. The order is the filesystem's.
    package func next() throws(Errno) -> Entry? {
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw Errno.current }
                return nil
            }
            let next = Int(entry.pointee.d_off)
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 256) { bytes in
                    Array(UnsafeBufferPointer(start: bytes, count: strlen(pointer)))
                }
            }
            if name != [0x2E], name != [0x2E, 0x2E] { return Entry(name: name, next: next) }
        }
    }

    /// Looks at a name in the directory; links are not followed.
    package func status(of name: [UInt8]) throws(Errno) -> FileStatus {
        var raw = stat()
        let path = name.map { CChar(bitPattern: $0) } + [0]
        try systemCall { fstatat(dirfd(stream), path, &raw, AT_SYMLINK_NOFOLLOW) }
        return FileStatus(raw)
    }

    /// Opens a name in the directory; a link is not followed, and no access time changes.
    package func open(_ name: [UInt8], flags: CInt) throws(Errno) -> OpenFile {
        let path = name.map { CChar(bitPattern: $0) } + [0]
        // O_NOATIME is not in Swift's Glibc module.
        let all = flags | O_NOFOLLOW | O_CLOEXEC | 0o1000000
        return OpenFile(owning: try systemCall { openat(dirfd(stream), path, all) })
    }
}
