internal import Glibc
package import Linux
internal import VDriveDataPlane
internal import VDriveMetadata
package import VDriveModel

/// What this machine has of a disk that is not attached: its state directory, and its files in the cache directory.
/// Everything blocks.
package struct LocalDisk: Sendable {
    let cacheDirectory: String
    let stateDirectory: String

    package init(cacheDirectory: String, stateDirectory: String) {
        self.cacheDirectory = cacheDirectory
        self.stateDirectory = stateDirectory
    }

    // MARK: What is here alone

    /// What would be lost with this machine's part of the disk: one sentence; nil when all is on the remote.
    package func changes() -> String? {
        let asides = names(in: cacheDirectory).filter { isAside($0) && !names(in: "\(cacheDirectory)/\($0)").isEmpty }
        if let aside = asides.first {
            return "What nobody could describe when its metadata was lost lies in \(cacheDirectory)/\(aside)."
        }
        guard Directory.exists("\(stateDirectory)/\(MetadataStore.fileNames[0])") else {
            return hasCachedData ? "There is cached data in \(cacheDirectory), and no metadata that describes it." : nil
        }
        do throws(MetadataError) {
            let store = try MetadataStore(directory: stateDirectory)
            defer { store.close() }
            let dirty = try store.pages().filter { $0.1.isDirty }
            guard !dirty.isEmpty else { return nil }
            let bytes = dirty.reduce(0) { $0 + $1.1.dirty.count } * DiskGeometry.pageBytes
            return "\(bytes) bytes in \(dirty.count) chunks are not on the remote yet."
        } catch {
            return "\(error) What is not on the remote yet cannot be told."
        }
    }

    private var hasCachedData: Bool {
        names(in: cacheDirectory).contains { name in
            guard isCacheFile(name), let status = status("\(cacheDirectory)/\(name)") else { return false }
            return status.kind == .file && status.allocatedBytes > 0
        }
    }

    // MARK: What is pinned

    /// - Throws: `outOfSpace` when what the disk's rules pin would not fit into a cache of so many bytes; `internal`
    /// when the metadata cannot be read.
    package func checkPins(fit limitBytes: UInt64, _ geometry: DiskGeometry) throws(DiskError) {
        guard Directory.exists("\(stateDirectory)/\(MetadataStore.fileNames[0])") else { return }
        let rules: [PinRule]
        do throws(MetadataError) {
            let store = try MetadataStore(directory: stateDirectory)
            defer { store.close() }
            rules = try store.pins()
        } catch {
            throw DiskError(.internal, "\(error) What is pinned cannot be told.")
        }
        let pins = PinSet(pagesPerChunk: geometry.pagesPerChunk)
            .replacing(rules.map { ($0.id, PinSet.stretches(touchedBy: $0.ranges, geometry)) })
        try CacheLimits.check(pins: pins, limitBytes: limitBytes)
    }

    // MARK: Removing it

    /// Removes all of it. Stopped anywhere, it leaves either a disk whose cache counts as lost, or less.
    ///
    /// - Parameter ownsCacheDirectory: whether the cache directory goes too, once it is empty.
    /// - Returns: names in the cache directory that are not the disk's, and stay; links among them, which are never
    ///   followed.
    package func remove(ownsCacheDirectory: Bool) throws(Errno) -> [String] {
        var kept: [String] = []
        if Directory.exists(cacheDirectory) {
            // Before the files that it stands for: metadata must never describe holes.
            try? Directory.removeFile("\(cacheDirectory)/\(Self.identity)")
            try Directory.sync(cacheDirectory)
            kept = try removeFromCache()
            if kept.isEmpty, ownsCacheDirectory { try Directory.removeEmpty(cacheDirectory) }
        }
        try Directory.removeTree(stateDirectory)
        if let parent = Directory.parent(of: stateDirectory), Directory.exists(parent) { try Directory.sync(parent) }
        return kept
    }

    private func removeFromCache() throws(Errno) -> [String] {
        var kept: [String] = []
        for name in try Directory.list(cacheDirectory) {
            let path = "\(cacheDirectory)/\(name)"
            let kind = status(path)?.kind
            if kind == .file, isCacheFile(name) || isUnfinishedIdentity(name) {
                try Directory.removeFile(path)
            } else if kind == .directory, name == Self.outbox || isAside(name) {
                if try !removeFolder(path) { kept.append(name) }
            } else {
                kept.append(name)
            }
        }
        return kept
    }

    /// - Returns: whether it is gone: nothing of others was in it.
    private func removeFolder(_ folder: String) throws(Errno) -> Bool {
        var isEmpty = true
        for name in try Directory.list(folder) {
            let path = "\(folder)/\(name)"
            if status(path)?.kind == .file, isCacheFile(name) || isOutboxCopy(name) {
                try Directory.removeFile(path)
            } else {
                isEmpty = false
            }
        }
        if isEmpty { try Directory.removeEmpty(folder) }
        return isEmpty
    }

    // MARK: Whose names

    static let identity = "identity"
    static let outbox = "outbox"
    static let asidePrefix = "undescribed-"

    private func isCacheFile(_ name: String) -> Bool {
        guard name.hasPrefix(CacheFile.filePrefix) else { return false }
        return isNumber(name.dropFirst(CacheFile.filePrefix.count), digits: 4)
    }

    private func isOutboxCopy(_ name: String) -> Bool { isNumber(name[...], digits: 9) }

    private func isUnfinishedIdentity(_ name: String) -> Bool {
        name.hasPrefix(".\(Self.identity).") && name.hasSuffix(".tmp")
    }

    private func isAside(_ name: String) -> Bool {
        guard name.hasPrefix(Self.asidePrefix), status("\(cacheDirectory)/\(name)")?.kind == .directory else {
            return false
        }
        let rest = name.dropFirst(Self.asidePrefix.count)
        return rest == "unknown" || isNumber(rest, digits: 16)
    }

    private func isNumber(_ text: Substring, digits: Int) -> Bool {
        guard let number = UInt64(text, radix: 16) else { return false }
        return hexadecimal(number, digits: digits) == text
    }

    private func status(_ path: String) -> FileStatus? { try? FileStatus.of(path, followsLinks: false) }
    private func names(in folder: String) -> [String] { (try? Directory.list(folder)) ?? [] }
}
