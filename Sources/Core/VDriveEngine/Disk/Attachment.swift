internal import Glibc
internal import Linux
internal import Logging
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

/// Attaching: claim a term, then read the state, then decide what local state is worth (ordering rule 8), then write
/// the new term's first commit.
struct Attachment: Sendable {
    let options: DiskOptions
    let descriptor: DiskDescriptor
    let fence: Fence
    let bitmap: BitmapActor

    struct Outcome: Sendable {
        var superblock: Superblock
        /// The last stop recorded everything.
        var isClean: Bool
        /// Another machine has written since.
        var dropsClean: Bool
        /// The cache directory is not the one that the records describe.
        var cacheIsLost: Bool
    }

    /// What this machine's state is worth beside the remote's.
    private enum Verdict {
        case fresh
        case goOn
        case otherWrote
    }

    func run() async throws(DiskError) -> Outcome {
        let known = try await bitmap.open(directory: options.stateDirectory)
        let cacheIsLost = known.map { $0.cacheID != cacheIdentity() } ?? false
        if cacheIsLost { try await forgetLostCache() }
        if let known, known.diskBytes != descriptor.geometry.diskBytes {
            throw DiskError(.refused, "The disk's size on the remote is another one than in \(options.stateDirectory).")
        }
        let term = try await fence.claim(above: known?.term ?? Term(0), owner: owner())
        try await Faults.at(.recoverAfterClaim)
        // After the claim: whoever commits now sees it.
        let head = try await fence.head()
        let chain = try await head.asyncMap { (head) async throws(DiskError) in try await fence.chain(to: head) } ?? []
        try await Faults.at(.recoverAfterStateRead)
        let verdict = try await compare(known, chain.last)
        if verdict != .goOn { try await bitmap.reset() }
        try await bitmap.adopt(chain)
        let superblock = try await begin(term, after: chain.last, known: known, verdict)
        return Outcome(
            superblock: superblock,
            isClean: known?.isClean ?? false,
            dropsClean: verdict == .otherWrote,
            cacheIsLost: cacheIsLost
        )
    }

    // MARK: The cache's identity

    private var identityPath: String { "\(options.cacheDirectory)/identity" }

    private func cacheIdentity() -> UInt64? {
        guard let bytes = try? readFile(identityPath, maxBytes: 64) else { return nil }
        return UInt64(String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self), radix: 16)
    }

    /// Written before the superblock that names it: a crash in between only makes the cache count as lost.
    private func newCacheIdentity() throws(DiskError) -> UInt64 {
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

    /// The records of a cache that is gone would be read as zeros: they are forgotten, and what was dirty is said to be
    /// lost.
    private func forgetLostCache() async throws(DiskError) {
        let records = try await bitmap.pageRecords()
        let dirtyPages = records.reduce(0) { $0 + $1.1.dirty.count }
        if dirtyPages > 0 {
            options.logger.critical(
                "the cache directory is another one than before: changes that were not uploaded are lost",
                metadata: ["disk": "\(options.name)", "bytes": "\(dirtyPages * DiskGeometry.pageBytes)"]
            )
        }
        try await bitmap.forget(records.map(\.0))
    }

    // MARK: Terms

    private func owner() -> TermOwner {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let bootID = (try? readFile("/proc/sys/kernel/random/boot_id", maxBytes: 64)).map {
            String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        }
        return TermOwner(
            host: host,
            pid: UInt64(getpid()),
            bootID: bootID ?? "unknown",
            nonce: hexadecimal(UInt64.random(in: .min ... .max), digits: 16),
            since: UInt64(time(nil)),
            softwareVersion: options.softwareVersion
        )
    }

    /// Ordering rule 8.
    private func compare(_ known: Superblock?, _ head: CommitRecord?) async throws(DiskError) -> Verdict {
        guard let known else { return .fresh }
        if head?.version == known.head { return .goOn }
        guard let head else {
            throw DiskError(
                .corrupt,
                "The commits of this disk are gone from \(options.store.reads.location); nothing was changed."
            )
        }
        // Our own commit landed, and the daemon ended before it could note so.
        if head.version.term == known.term, head.parent == known.head { return .goOn }
        let hasDirty = try await bitmap.pageRecords().contains { $0.1.isDirty }
        if hasDirty {
            throw DiskError(
                .diverged,
                "Another machine has written to this disk (term \(head.version.term)) while changes of this one wait "
                    + "in \(options.cacheDirectory); nothing was changed."
            )
        }
        return .otherWrote
    }

    /// The new term's first commit: the same state, under the new term.
    private func begin(
        _ term: Term,
        after parent: CommitRecord?,
        known: Superblock?,
        _ verdict: Verdict
    ) async throws(DiskError) -> Superblock {
        let cacheID: UInt64
        if let known, known.cacheID == cacheIdentity() {
            cacheID = known.cacheID
        } else {
            cacheID = try newCacheIdentity()
        }
        var superblock = Superblock(
            id: descriptor.disk,
            diskBytes: descriptor.geometry.diskBytes,
            chunkBytes: descriptor.geometry.chunkBytes,
            term: term,
            head: parent?.version,
            cacheID: cacheID,
            isClean: false,
            allocationIsComplete: verdict == .goOn ? known?.allocationIsComplete ?? false : parent == nil
        )
        // The term is noted first: a commit of it that lands must be known as ours.
        var noted = MetadataBatch()
        noted.superblock = superblock
        try await bitmap.note(noted)
        try await Faults.at(.recoverAfterTermNoted)
        let record = CommitRecord(
            version: ObjectVersion(term: term, epoch: Epoch((parent?.version.epoch.rawValue ?? 0) + 1)),
            parent: parent?.version,
            diskBytes: descriptor.geometry.diskBytes,
            allocatedChunks: parent?.allocatedChunks ?? 0,
            checkpoint: parent?.checkpoint,
            createdAt: UInt64(time(nil)),
            entries: []
        )
        do throws(StoreError) {
            try await options.store.brief.put(record.name, record.encode(disk: descriptor.disk))
        } catch {
            throw DiskError(error)
        }
        try await Faults.at(.recoverAfterFirstCommit)
        if let higher = try await fence.higherTerm(than: term) {
            throw DiskError(.fenced, "Another machine attached this disk at the same moment (term \(higher)).")
        }
        superblock.head = record.version
        let batch = try await bitmap.prepare(record, checkpoint: nil, garbage: [], superblock: superblock)
        try await bitmap.note(batch)
        try await bitmap.committed(record, checkpoint: nil)
        fence.checkpoint.set(record.checkpoint)
        await fence.hint(record.version)
        return superblock
    }
}

extension Optional {
    /// `map` with a body that waits.
    fileprivate func asyncMap<Result, Failure: Error>(
        _ body: (Wrapped) async throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        guard let self else { return nil }
        return try await body(self)
    }
}
