internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// Deletes what lies on a remote under a disk's names, but for the descriptor and the mark of a destroyed disk;
/// whatever has another name stays, and so does the folder that it lies in.
///
/// The terms go last: until then a writer that had the disk finds itself fenced.
struct RemoteSweep: Sendable {
    let store: any ObjectStore
    /// Whether to leave off; the sweep then throws `busy`.
    let isStopping: @Sendable () async -> Bool
    /// Called now and then with the objects deleted so far.
    let progress: @Sendable (UInt64) async -> Void

    /// - Returns: objects deleted.
    /// - Throws: at the first thing that the remote refuses; a later sweep goes on from there. `configuration` when the
    ///   remote cannot list its folders.
    func run() async throws(DiskError) -> UInt64 {
        var deleted: UInt64 = 0
        for folder in [ObjectFolder.blocks, ObjectFolder.map, ObjectFolder.commits] {
            try await clear(folder, &deleted)
        }
        try await attempt { () async throws(StoreError) in try await store.delete(.latest) }
        try await clear(ObjectFolder.terms, &deleted)
        await progress(deleted)
        return deleted
    }

    private func clear(_ folder: String, _ deleted: inout UInt64) async throws(DiskError) {
        let children = try await list(folder)
        try await delete(
            children.filter { !$0.isFolder }.map { "\(folder)/\($0.name)" }.filter { ObjectRole(path: $0) != nil },
            &deleted
        )
        for child in children where child.isFolder && Self.holdsObjects("\(folder)/\(child.name)") {
            try await clear("\(folder)/\(child.name)", &deleted)
        }
        // Asked for again: a server may delete a folder with all that is in it. What cannot go is not ours, either.
        if try await list(folder).isEmpty { try? await store.delete(ObjectName(folder)) }
    }

    /// Whether a folder is one of the layout's own below `map`, `blocks` and `terms`.
    private static func holdsObjects(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        guard parts.count == 2 else { return false }
        switch String(parts[0]) {
        case ObjectFolder.map: return Int(parts[1]).map { ObjectFolder.map(level: $0) == path } ?? false
        case ObjectFolder.blocks: return parts[1].count >= 7 && UInt64(parts[1], radix: 16) != nil
        case ObjectFolder.terms: return ObjectRole(path: path) != nil
        default: return false
        }
    }

    private func delete(_ paths: [String], _ deleted: inout UInt64) async throws(DiskError) {
        let before = deleted
        let result = await withTaskGroup(of: DiskError?.self) { group -> (count: UInt64, error: DiskError?) in
            var count: UInt64 = 0
            var failure: DiskError?
            var next = paths.makeIterator()
            for _ in 0..<EngineLimits.parallelDeletes {
                if let path = next.next() { group.addTask { await delete(path) } }
            }
            while let error = await group.next() {
                if let error {
                    failure = failure ?? error
                } else {
                    count += 1
                }
                if count % EngineLimits.sweepStep == 0 { await progress(before + count) }
                if failure == nil, let path = next.next() { group.addTask { await delete(path) } }
            }
            return (count, failure)
        }
        deleted += result.count
        if let error = result.error { throw error }
    }

    private func delete(_ path: String) async -> DiskError? {
        if await isStopping() { return DiskError(.busy, "The daemon is stopping.") }
        do throws(StoreError) {
            try await store.delete(ObjectName(path))
            return nil
        } catch {
            return DiskError(error)
        }
    }

    private func list(_ folder: String) async throws(DiskError) -> [StoreListing] {
        try await attempt { () async throws(StoreError) in try await store.list(folder) }
    }

    private func attempt<Value>(_ act: () async throws(StoreError) -> Value) async throws(DiskError) -> Value {
        do throws(StoreError) { return try await act() } catch { throw DiskError(error) }
    }
}
