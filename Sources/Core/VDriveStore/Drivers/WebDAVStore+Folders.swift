internal import Curl
internal import Synchronization
internal import VDriveModel

/// The folders that are known to exist, by the paths of their URLs, so that their making costs one request in the life
/// of a store. They are made one at a time: servers answer 423 or 409 when the same folder is made twice at once.
final class KnownFolders: Sendable {
    private struct Turn {
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let paths = Mutex<Set<String>>([])
    private let turn = Mutex(Turn())

    func contains(_ path: String) -> Bool { paths.withLock { $0.contains(path) } }
    func insert(_ path: String) { paths.withLock { _ = $0.insert(path) } }

    /// Forgets a folder and all below it.
    func forget(_ path: String) {
        paths.withLock { paths in
            guard !path.isEmpty else { return paths.removeAll() }
            paths = paths.filter { $0 != path && !$0.hasPrefix(path + "/") }
        }
    }

    /// Runs one maker of folders at a time, first come first served.
    func making<Value>(_ make: () async throws(StoreError) -> Value) async throws(StoreError) -> Value {
        await withCheckedContinuation { continuation in
            let isMine = turn.withLock { turn in
                if turn.isTaken { turn.waiting.append(continuation) }
                defer { turn.isTaken = true }
                return !turn.isTaken
            }
            if isMine { continuation.resume() }
        }
        defer {
            let next = turn.withLock { turn in
                if turn.waiting.isEmpty { turn.isTaken = false }
                return turn.waiting.isEmpty ? nil : turn.waiting.removeFirst()
            }
            next?.resume()
        }
        return try await make()
    }
}

extension WebDAVStore {
    /// Runs an act that needs the folder of `name`; when its answer looks as if the folder were missing, makes the
    /// folder and runs the act once more.
    func makingFolders(
        for name: ObjectName,
        _ act: () async throws(StoreError) -> HTTPResponse
    ) async throws(StoreError) -> HTTPResponse {
        let folder = pathOfURL(of: name.folder ?? "")
        let wasKnown = folder.isEmpty || folders.contains(folder)
        if !wasKnown {
            try await folders.making { () async throws(StoreError) in
                if !folders.contains(folder) { try await makeFolder(folder) }
            }
        }
        let response = try await act()
        // 500 is nginx's way; 404 and 403 are seen from others.
        guard wasKnown, [403, 404, 409, 500].contains(response.status) else { return response }
        try await folders.making { () async throws(StoreError) in
            folders.forget(folder)
            try await makeFolder(folder)
        }
        return try await act()
    }

    /// Makes a folder and what is missing above it. A refusal is left for the act that needs the folder to report:
    /// there are servers that let an account write where it may not make folders.
    ///
    /// - Parameter path: percent-encoded, from the server's top, without a slash at the end; "" is the top.
    /// - Returns: whether it is there now.
    @discardableResult
    private func makeFolder(_ path: String) async throws(StoreError) -> Bool {
        guard let slash = path.lastIndex(of: "/") else { return true }
        var response = try await send("MKCOL", origin + path + "/")
        if response.status == 409 {
            let parent = String(path[..<slash])
            folders.forget(parent)
            guard try await makeFolder(parent) else { return false }
            response = try await send("MKCOL", origin + path + "/")
        }
        switch response.status {
        case 200, 201, 204, 301, 302, 405:
            folders.insert(path)
            return true
        case 401, 408, 423, 425, 429, 502, 503, 504, 507: throw failure(response, "MKCOL", path)
        default: return false
        }
    }
}
