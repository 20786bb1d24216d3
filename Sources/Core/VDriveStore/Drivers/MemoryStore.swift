internal import Synchronization
package import VDriveModel

/// A store in memory: the model that the others are compared with, and the quick one for tests.
package final class MemoryStore: ObjectStore {
    private struct Contents {
        var objects: [String: [UInt8]] = [:]
        var folders: Set<String> = [""]

        mutating func makeParents(of path: String) {
            var rest = path[...]
            while let slash = rest.lastIndex(of: "/") {
                rest = rest[..<slash]
                folders.insert(String(rest))
            }
        }
    }

    private let contents = Mutex(Contents())

    package init() {}

    package var location: String { "memory" }
    package var claimPrimitives: [ClaimPrimitive] { [.makeFolder, .conditionalPut] }

    /// The names of all objects, sorted.
    package var names: [String] { contents.withLock { $0.objects.keys.sorted() } }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        guard let object = contents.withLock({ $0.objects[name.path] }) else { throw .notFound(name) }
        guard let range else { return object }
        guard range.upperBound <= object.count else { throw .tooShort(name, length: object.count, range: range) }
        return Array(object[range])
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        contents.withLock { contents in
            contents.makeParents(of: name.path)
            contents.objects[name.path] = body
        }
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        contents.withLock { $0.objects[name.path]?.count }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        contents.withLock { contents in
            contents.objects[name.path] = nil
            contents.folders.remove(name.path)
        }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        let prefix = folder.isEmpty ? "" : folder + "/"
        func child(_ path: String) -> String? {
            guard path != folder, path.hasPrefix(prefix) else { return nil }
            let rest = path.dropFirst(prefix.count)
            return rest.contains("/") ? nil : String(rest)
        }
        return contents.withLock { contents in
            contents.folders.compactMap(child).map { StoreListing(name: $0, isFolder: true, length: nil) }
                + contents.objects.compactMap { path, body in
                    child(path).map { StoreListing(name: $0, isFolder: false, length: body.count) }
                }
        }
    }

    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        guard claimPrimitives.contains(primitive) else { throw .unknownPrimitive(primitive, at: location) }
        return contents.withLock { contents in
            guard contents.objects[name.path] == nil, !contents.folders.contains(name.path) else { return false }
            contents.makeParents(of: name.path)
            if primitive == .makeFolder {
                contents.folders.insert(name.path)
            } else {
                contents.objects[name.path] = []
            }
            return true
        }
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        let used = contents.withLock { $0.objects.values.map(\.count).reduce(0, +) }
        return StoreQuota(availableBytes: nil, usedBytes: UInt64(used))
    }
}
