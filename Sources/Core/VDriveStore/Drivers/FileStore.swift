internal import Glibc
internal import Linux
internal import Synchronization
package import VDriveModel

/// A remote that is a folder: a mounted network share, another disk, or a test's temporary folder.
///
/// Notes on the design
///
/// - The top folder is opened once and everything goes through its descriptor: when a share is unmounted or replaced
///   under the daemon, nothing is written into the empty mount point instead. It is made by the first write.
/// - A put writes a temporary file beside the object, syncs it, renames it and syncs the folder: an object is there
///   whole or not at all, and stays there. Folders that were made on the way are synced too.
/// - All calls block, so they run on a few threads of the store's own.
/// - Temporary files of a crash stay behind, hidden from `list`; nothing refers to them.
package final class FileStore: ObjectStore {
    private static let threadCount = 8
    private static let temporaryPrefix = ".vdrive-tmp-"

    private let path: String
    private let top = Mutex<Folder?>(nil)
    private let pool = BlockingThreads(name: "vdrive-file", count: threadCount)

    /// - Parameter path: absolute. Nothing is opened yet.
    package init(path: String) {
        self.path = path
    }

    deinit {
        // The last reference may go on one of the threads, which cannot wait for itself.
        let pool = pool
        NamedThread.start("vdrive-file-end") { pool.shutdown() }.detach()
    }

    package var location: String { "file://\(path)" }
    package var claimPrimitives: [ClaimPrimitive] { [.makeFolder] }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        try await pool.run { [self] () throws(StoreError) in
            guard let top = try openTop(), let file = try top.openFile(name.path, O_RDONLY) else {
                throw StoreError.notFound(name)
            }
            let length = try file.length()
            guard let range else { return try file.read(0..<length, of: name) }
            guard range.upperBound <= length else { throw .tooShort(name, length: length, range: range) }
            return try file.read(range, of: name)
        }
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        try await pool.run { [self] () throws(StoreError) in
            let top = try makeTop()
            var generator = SystemRandomNumberGenerator()
            let parent = name.folder ?? ""
            let temporary = joined(parent, Self.temporaryPrefix + hexadecimal(generator.next(), digits: 16))
            let file = try makingFolders(parent, in: top) { () throws(StoreError) in
                try top.openFile(temporary, O_WRONLY | O_CREAT | O_EXCL)
            }
            do throws(StoreError) {
                try file.write(body)
                try top.rename(temporary, to: name.path)
            } catch {
                try? top.removeFile(temporary)
                throw error
            }
            try top.sync(parent)
        }
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        try await pool.run { [self] () throws(StoreError) in
            try openTop()?.status(of: name.path).flatMap { $0.isFolder ? nil : $0.length }
        }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        try await pool.run { [self] () throws(StoreError) in try openTop()?.remove(name.path) }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        try await pool.run { [self] () throws(StoreError) in
            guard let top = try openTop() else { return [] }
            var listing: [StoreListing] = []
            for name in try top.names(in: folder) where !name.hasPrefix(Self.temporaryPrefix) {
                // What has gone since it was listed is not there.
                guard let status = try top.status(of: joined(folder, name)) else { continue }
                listing.append(
                    StoreListing(
                        name: name,
                        isFolder: status.isFolder,
                        length: status.isFolder ? nil : status.length
                    )
                )
            }
            return listing
        }
    }

    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        guard primitive == .makeFolder else { throw .unknownPrimitive(primitive, at: location) }
        return try await pool.run { [self] () throws(StoreError) in
            let top = try makeTop()
            let parent = name.folder ?? ""
            do throws(StoreError) {
                let isNew = try makingFolders(parent, in: top) { () throws(StoreError) in
                    try top.makeFolder(name.path)
                }
                if isNew { try top.sync(parent) }
                return isNew
            } catch {
                // A network share may have lost the answer, and an fsync fails after the folder was made.
                throw error.kind == .unavailable ? StoreError(.uncertain, error.message) : error
            }
        }
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        try await pool.run { [self] () throws(StoreError) in try openTop()?.quota() }
    }

    /// Runs an act that answers nil when its folder is missing, makes the folder, and runs it again.
    private func makingFolders<Value: ~Copyable>(
        _ folder: String,
        in top: Folder,
        _ act: () throws(StoreError) -> Value?
    ) throws(StoreError) -> Value {
        if let value = try act() { return value }
        var made = ""
        for component in folder.split(separator: "/") {
            let parent = made
            made = joined(parent, String(component))
            if try top.makeFolder(made) == true { try top.sync(parent) }
        }
        if let value = try act() { return value }
        // The top itself was removed: the next try opens the path anew.
        self.top.withLock { $0 = nil }
        throw StoreError(.unavailable, "The folder \(path) was removed while it was in use; put it back.")
    }

    /// The top folder, or nil when there is none.
    private func openTop() throws(StoreError) -> Folder? {
        try top.withLock { top throws(StoreError) in
            if let top { return top }
            top = try Folder(path: path)
            return top
        }
    }

    private func makeTop() throws(StoreError) -> Folder {
        if let top = try openTop() { return top }
        var made = ""
        for component in path.split(separator: "/") {
            made += "/" + component
            guard mkdir(made, 0o755) == 0 || errno == EEXIST else { throw StoreError(errno: errno, at: made) }
        }
        guard let top = try openTop() else { throw StoreError(errno: ENOENT, at: path) }
        return top
    }
}

private func joined(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : "\(folder)/\(name)" }
