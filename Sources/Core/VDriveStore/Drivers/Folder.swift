internal import Glibc
internal import VDriveModel

/// An open folder, and the calls relative to it. All of them block; any thread may make them.
///
/// Paths are relative; "" is the folder itself.
final class Folder: Sendable {
    struct Status {
        var isFolder: Bool
        var length: Int
    }

    private let descriptor: Int32
    private let path: String

    /// - Returns: nil when there is no folder of that path.
    init?(path: String) throws(StoreError) {
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        self.path = path
        if descriptor < 0 {
            if errno == ENOENT { return nil }
            throw StoreError(errno: errno, at: path)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// - Returns: nil when the file, or the folder for a new one, does not exist.
    func openFile(_ name: String, _ flags: Int32) throws(StoreError) -> ObjectFile? {
        let file = openat(descriptor, name, flags | O_CLOEXEC | O_NOFOLLOW, 0o644)
        if file < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure(name)
        }
        return ObjectFile(file, path: "\(path)/\(name)")
    }

    func status(of name: String) throws(StoreError) -> Status? {
        var status = stat()
        guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw failure(name)
        }
        return Status(isFolder: status.st_mode & S_IFMT == S_IFDIR, length: Int(status.st_size))
    }

    func rename(_ source: String, to target: String) throws(StoreError) {
        guard renameat(descriptor, source, descriptor, target) == 0 else { throw failure(target) }
    }

    func removeFile(_ name: String) throws(StoreError) {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else { throw failure(name) }
    }

    /// Removes a file or an empty folder; it is no error when there is none.
    func remove(_ name: String) throws(StoreError) {
        guard unlinkat(descriptor, name, 0) != 0 else { return }
        switch errno {
        case ENOENT, ENOTDIR: return
        case EISDIR, EPERM:
            guard unlinkat(descriptor, name, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw failure(name) }
        default: throw failure(name)
        }
    }

    /// - Returns: whether it is new; nil when the folder above is missing.
    func makeFolder(_ name: String) throws(StoreError) -> Bool? {
        guard mkdirat(descriptor, name, 0o755) != 0 else { return true }
        switch errno {
        case EEXIST: return false
        case ENOENT: return nil
        default: throw failure(name)
        }
    }

    /// Makes the names in a folder durable.
    func sync(_ name: String) throws(StoreError) {
        let folder = openat(descriptor, name.isEmpty ? "." : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure(name) }
        defer { close(folder) }
        // EINVAL: a file system that has nothing to sync here, such as some network shares.
        guard fsync(folder) == 0 || errno == EINVAL else { throw failure(name) }
    }

    /// What lies in a folder, without `.` and `..`; empty when there is none.
    func names(in name: String) throws(StoreError) -> [String] {
        let folder = openat(descriptor, name.isEmpty ? "." : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return [] }
            throw failure(name)
        }
        guard let stream = fdopendir(folder) else {
            close(folder)
            throw failure(name)
        }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw failure(name) }
        return names
    }

    func quota() throws(StoreError) -> StoreQuota {
        var status = statvfs()
        guard fstatvfs(descriptor, &status) == 0 else { throw failure("") }
        let unit = UInt64(status.f_frsize)
        return StoreQuota(
            availableBytes: UInt64(status.f_bavail) * unit,
            usedBytes: UInt64(status.f_blocks - status.f_bfree) * unit
        )
    }

    /// Reads `errno` before anything else can change it.
    private func failure(_ name: String) -> StoreError {
        StoreError(errno: errno, at: name.isEmpty ? path : "\(path)/\(name)")
    }
}

/// An open file; it is closed with the last reference.
struct ObjectFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    init(_ descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func length() throws(StoreError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw StoreError(errno: errno, at: path) }
        return Int(status.st_size)
    }

    func read(_ range: Range<Int>, of name: ObjectName) throws(StoreError) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            while count < range.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                let taken = pread(descriptor, rest.baseAddress, range.count - count, off_t(range.lowerBound + count))
                if taken < 0, errno == EINTR { continue }
                guard taken > 0 else {
                    failure = taken < 0 ? errno : 0
                    return
                }
                count += taken
            }
        }
        guard failure == 0 else { throw StoreError(errno: failure, at: path) }
        guard bytes.count == range.count else {
            throw .tooShort(name, length: range.lowerBound + bytes.count, range: range)
        }
        return bytes
    }

    /// Writes all and makes it durable.
    func write(_ body: [UInt8]) throws(StoreError) {
        let failure: Int32 = body.withUnsafeBytes { bytes in
            var count = 0
            while count < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[count...])
                let taken = Glibc.write(descriptor, rest.baseAddress, rest.count)
                if taken < 0, errno == EINTR { continue }
                guard taken > 0 else { return taken < 0 ? errno : EIO }
                count += taken
            }
            return fsync(descriptor) == 0 ? 0 : errno
        }
        guard failure == 0 else { throw StoreError(errno: failure, at: path) }
    }
}
