internal import Glibc
internal import Linux
internal import Logging
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

/// What lies in the state and cache directories: read, matched with each other, and put aside where it cannot be
/// matched.
extension Attachment {
    /// Opens LMDB and looks at the cache directory. Nothing of the disk's data is changed or thrown away, but what a
    /// user has given up.
    func open() async throws(DiskError) -> Local {
        let known = try await openMetadata()
        if let known, known.diskBytes != descriptor.geometry.diskBytes {
            throw DiskError(.refused, "The disk's size on the remote is another one than in \(options.stateDirectory).")
        }
        var local = Local(known: known, holder: try holder(), hasDirty: false, cacheIsLost: false)
        let identity = cacheIdentity()
        if known == nil || known?.cacheID != identity { try await putAside(identity, &local) }
        if let known {
            let records = try await bitmap.pageRecords()
            if known.cacheID != identity {
                local.cacheIsLost = true
                try await forgetLost(records, "The cache directory is another one than before", &local)
            } else {
                try await forgetLost(cutOff(records), "Files of the cache are gone, or cut short", &local)
            }
        }
        local.hasDirty = try await bitmap.pageRecords().contains { $0.1.isDirty }
        return local
    }

    func holder() throws(DiskError) -> Holder {
        do throws(Errno) { return try Holder(stateDirectory: options.stateDirectory) } catch {
            throw DiskError(.configuration, "The state directory \(options.stateDirectory) cannot be used: \(error).")
        }
    }

    private func openMetadata() async throws(DiskError) -> Superblock? {
        do throws(DiskError) {
            return try await bitmap.open(directory: options.stateDirectory)
        } catch {
            guard error.kind == .corrupt else { throw error }
            guard options.intent.discardsLocal else {
                throw DiskError(
                    .corrupt,
                    "\(error.message) Attach with --discard-local to build it anew from the remote; "
                        + "what was not uploaded is lost then."
                )
            }
            options.logger.critical("damaged metadata is thrown away", metadata: ["disk": "\(options.name)"])
            try await bitmap.startOver(directory: options.stateDirectory)
            return nil
        }
    }

    // MARK: The cache's identity

    private var identityPath: String { "\(options.cacheDirectory)/\(LocalDisk.identity)" }

    private func cacheIdentity() -> UInt64? {
        guard let text = try? readText(identityPath) else { return nil }
        return UInt64(text.prefix { $0 != "\n" }, radix: 16)
    }

    /// The id that the superblock must name: the cache's own, or that of a new cache.
    func cacheID(_ known: Superblock?) throws(DiskError) -> UInt64 {
        if let known, known.cacheID == cacheIdentity() { return known.cacheID }
        // Written before the superblock that names it: a crash in between only makes the cache count as lost.
        let id = UInt64.random(in: 1 ... .max)
        do throws(Errno) {
            try writeFileAtomically(identityPath, Array("\(hexadecimal(id, digits: 16))\n".utf8), mode: 0o600)
        } catch {
            throw DiskError(
                .configuration,
                "The cache directory \(options.cacheDirectory) cannot be written: \(error)."
            )
        }
        return id
    }

    /// The records of chunks that reach beyond what is left of their files.
    private func cutOff(_ records: [(ChunkIndex, PageRecord)]) -> [(ChunkIndex, PageRecord)] {
        let geometry = descriptor.geometry
        var ends: [Int: UInt64] = [:]
        return records.filter { chunk, _ in
            let start = geometry.offset(of: chunk)
            let number = Int(start >> CacheFile.fileShift)
            let end =
                ends[number]
                ?? UInt64(number) << CacheFile.fileShift
                + CacheFile.bytesLeft(ofFile: number, in: options.cacheDirectory)
            ends[number] = end
            return min(start + UInt64(geometry.chunkBytes), geometry.diskBytes) > end
        }
    }

    /// The records of a cache that is gone, or of a part of it, would be read as zeros: they are forgotten, and what
    /// was dirty is said to be lost.
    private func forgetLost(
        _ records: [(ChunkIndex, PageRecord)],
        _ what: String,
        _ local: inout Local
    ) async throws(DiskError) {
        guard !records.isEmpty else { return }
        local.cacheIsLost = true
        // A chunk that was trimmed is dirty without a dirty page.
        if records.contains(where: { $0.1.isDirty }) {
            let bytes = records.reduce(0) { $0 + $1.1.dirty.count } * DiskGeometry.pageBytes
            note("\(what): \(bytes > 0 ? "\(bytes) bytes" : "trims") that were not uploaded are lost.", &local)
        }
        try await bitmap.forget(records.map(\.0))
    }

    /// Cache files that no record describes may hold what was never uploaded. They are kept under another name, and a
    /// person decides.
    private func putAside(_ identity: UInt64?, _ local: inout Local) async throws(DiskError) {
        let directory = options.cacheDirectory
        do throws(Errno) {
            let names = Directory.exists(directory) ? try Directory.list(directory) : []
            let files = names.filter { $0.hasPrefix(CacheFile.filePrefix) }
            var bytes: UInt64 = 0
            for file in files { bytes += try FileStatus.of("\(directory)/\(file)").allocatedBytes }
            guard bytes > 0 else { return }
            let aside =
                "\(directory)/\(LocalDisk.asidePrefix)\(identity.map { hexadecimal($0, digits: 16) } ?? "unknown")"
            try Directory.createAll(aside)
            for file in files { try Directory.rename("\(directory)/\(file)", to: "\(aside)/\(file)") }
            try Directory.sync(directory)
            note(
                "No metadata describes the \(bytes) bytes that were in the cache; what of them was not uploaded is "
                    + "lost to this disk. They lie in \(aside): delete them when nobody needs them.",
                &local
            )
        } catch {
            throw DiskError(.configuration, "The cache directory \(directory) cannot be used: \(error).")
        }
    }

    private func note(_ text: String, _ local: inout Local) {
        options.logger.critical("\(text)", metadata: ["disk": "\(options.name)"])
        local.notices.append(text)
    }
}
