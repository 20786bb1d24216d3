internal import Logging
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// The remote as the engine sees it: map entries, verified frames, objects put and verified.
///
/// Retries and time-outs are the store's; what comes from here is checked.
actor RemoteActor {
    nonisolated let store: RemoteStore
    nonisolated let id: DiskID
    nonisolated let geometry: DiskGeometry
    private let bitmap: BitmapActor
    private let logger: Logger
    private let events: DiskEvents
    private var loading: [NodeReference: [CheckedContinuation<Void, Never>]] = [:]

    init(
        store: RemoteStore,
        bitmap: BitmapActor,
        logger: Logger,
        events: DiskEvents
    ) {
        self.store = store
        self.id = bitmap.id
        self.geometry = bitmap.geometry
        self.bitmap = bitmap
        self.logger = logger
        self.events = events
    }

    // MARK: The map

    /// What the map says of a chunk, loading nodes that are not here.
    func entry(for chunk: ChunkIndex) async throws(DiskError) -> MapEntry? {
        try await loadingNodes { () async throws(DiskError) in
            switch try await self.bitmap.lookup(chunk) {
            case .found(let entry): .found(entry)
            case .needs(let reference): .needs(reference)
            }
        }
    }

    /// The chunks of a stretch that have an object, in order: the first `limit` of them.
    func allocated(in stretch: Range<ChunkIndex>, limit: Int) async throws(DiskError) -> [ChunkIndex] {
        try await loadingNodes { () async throws(DiskError) in
            switch await self.bitmap.allocated(in: stretch, limit: limit) {
            case .found(let found): .found(found)
            case .needs(let reference): .needs(reference)
            }
        }
    }

    func checkpointNodes(
        at version: ObjectVersion,
        with entries: [CommitEntry]
    ) async throws(DiskError) -> MapState.CheckpointNodes {
        try await loadingNodes { () async throws(DiskError) in
            switch await self.bitmap.planCheckpoint(at: version, with: entries) {
            case .nodes(let nodes): .found(nodes)
            case .needs(let reference): .needs(reference)
            }
        }
    }

    private enum Step<Answer: Sendable>: Sendable {
        case found(Answer)
        case needs(NodeReference)
    }

    /// Asks again and again, loading each node that the question still needs.
    private func loadingNodes<Answer: Sendable>(
        _ question: @Sendable () async throws(DiskError) -> Step<Answer>
    ) async throws(DiskError) -> Answer {
        var failed: (reference: NodeReference, error: DiskError)?
        while true {
            switch try await question() {
            case .found(let answer): return answer
            case .needs(let reference):
                // A node may have been replaced by a checkpoint, and deleted, while it was fetched: it is lost
                // only when the question needs the very same one again.
                if let failed, failed.reference == reference {
                    if failed.error.kind == .corrupt { throw lost(reference.name, failed.error.message) }
                    throw failed.error
                }
                do throws(DiskError) { try await load(reference) } catch { failed = (reference, error) }
            }
        }
    }

    /// Loads a node once, however many wait for it.
    private func load(_ reference: NodeReference) async throws(DiskError) {
        if loading[reference] != nil {
            await withCheckedContinuation { loading[reference]!.append($0) }
            return
        }
        loading[reference] = []
        defer { for waiter in loading.removeValue(forKey: reference) ?? [] { waiter.resume() } }
        let id = id
        let geometry = geometry
        let loaded: (node: MapNode, bytes: [UInt8])
        do throws(ObjectTrouble) {
            loaded = try await store.reads.getDecoded(reference.name, logger: logger) {
                (bytes) throws(FormatError) in
                let node = try MapNode.decode(
                    bytes,
                    disk: id,
                    level: reference.level,
                    index: reference.index,
                    version: reference.version,
                    geometry: geometry
                )
                return (node, bytes)
            }
        } catch {
            if case .remote(let error) = error { throw DiskError(error) }
            throw DiskError(.corrupt, error.reason)
        }
        try await bitmap.install(loaded.node, loaded.bytes)
    }

    // MARK: Chunks

    /// Fetches, verifies and decompresses consecutive frames: one Range request.
    ///
    /// - Returns: nil when the object turned out to be the chunk's no longer: replaced, and perhaps deleted, meanwhile.
    /// - Throws: `corrupt` when the object is still the one and cannot be used.
    func frames(of chunk: ChunkIndex, entry: MapEntry, _ frames: Range<Int>) async throws(DiskError) -> ChunkBuffer? {
        var look = SecondLook()
        while true {
            let trouble: ObjectTrouble
            do throws(ObjectTrouble) {
                return try await verifiedFrames(of: chunk, entry: entry, frames)
            } catch {
                trouble = error
            }
            if case .remote(let error) = trouble { throw DiskError(error) }
            guard try await self.entry(for: chunk)?.version == entry.version else { return nil }
            let name = ObjectName.chunk(chunk, version: entry.version)
            guard let pause = look.pause(after: trouble) else { throw lost(name, trouble.reason) }
            logger.notice("asking for an object again", metadata: ["object": "\(name)", "reason": "\(trouble.reason)"])
            do { try await Task.sleep(for: pause) } catch { throw lost(name, trouble.reason) }
        }
    }

    private func verifiedFrames(
        of chunk: ChunkIndex,
        entry: MapEntry,
        _ frames: Range<Int>
    ) async throws(ObjectTrouble) -> ChunkBuffer {
        let range = ChunkObject.readRange(frames, entry: entry)
        let first = ChunkObject.frameRange(frames, entry: entry).lowerBound
        let bytes: [UInt8]
        do throws(StoreError) {
            bytes = try await store.reads.get(.chunk(chunk, version: entry.version), range: range)
        } catch {
            throw ObjectTrouble(error)
        }
        guard bytes.count == range.count else {
            throw .damaged("Of \(range.count) bytes that were asked for, \(bytes.count) came.")
        }
        do throws(FormatError) {
            if range.lowerBound == 0 {
                let result = bytes.withUnsafeBytes { bytes in
                    Result { () throws(FormatError) in
                        try ChunkObject.verifyHeader(
                            of: bytes,
                            id: id,
                            chunk: chunk,
                            version: entry.version,
                            geometry: geometry
                        )
                    }
                }
                try result.get()
            }
            return try await ChunkCoding.decode(
                bytes[(first - range.lowerBound)...],
                frames: frames,
                entry: entry,
                frameBytes: geometry.frameBytes
            )
        } catch {
            throw .damaged(error.description)
        }
    }

    /// A mapped object that is missing or damaged: never zeros, always said.
    private func lost(_ name: ObjectName, _ reason: String) -> DiskError {
        logger.error("object lost", metadata: ["object": "\(name)", "reason": "\(reason)"])
        events.yield(.objectLost(name.path))
        return DiskError(.corrupt, "The object \(name) cannot be used: \(reason)")
    }

    /// Puts an object and looks at what arrived: some servers answer success for a part of it.
    func put(_ name: ObjectName, _ bytes: [UInt8]) async throws(DiskError) -> UploadedReceipt {
        if LatePuts.takes(name, bytes) { return UploadedReceipt(name: name) }
        do throws(StoreError) {
            while true {
                try await store.writes.put(name, bytes)
                if try await store.writes.length(of: name) == bytes.count { return UploadedReceipt(name: name) }
                logger.warning("an upload arrived short and is repeated", metadata: ["object": "\(name)"])
            }
        } catch {
            throw DiskError(error)
        }
    }
}

/// Proof that an object lies on the remote in its whole length. Only `RemoteActor.put` makes one; a commit demands it.
struct UploadedReceipt: Sendable {
    let name: ObjectName
    fileprivate init(name: ObjectName) { self.name = name }
}
