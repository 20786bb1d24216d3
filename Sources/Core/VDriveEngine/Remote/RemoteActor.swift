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
    private let events: AsyncStream<DiskEvent>.Continuation
    private var loading: [NodeReference: [CheckedContinuation<Void, Never>]] = [:]

    init(
        store: RemoteStore,
        bitmap: BitmapActor,
        logger: Logger,
        events: AsyncStream<DiskEvent>.Continuation
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
        while true {
            switch try await bitmap.lookup(chunk) {
            case .found(let entry): return entry
            case .needs(let reference): try await load(reference)
            }
        }
    }

    func firstAllocated(from chunk: ChunkIndex) async throws(DiskError) -> ChunkIndex? {
        while true {
            switch try await bitmap.firstAllocated(from: chunk) {
            case .found(let found): return found
            case .needs(let reference): try await load(reference)
            }
        }
    }

    func checkpointNodes(
        at version: ObjectVersion,
        with entries: [CommitEntry]
    ) async throws(DiskError) -> MapState.CheckpointNodes {
        while true {
            switch await bitmap.planCheckpoint(at: version, with: entries) {
            case .nodes(let nodes): return nodes
            case .needs(let reference): try await load(reference)
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
        let bytes = try await get(reference.name, range: nil)
        try await bitmap.install(bytes, as: reference)
    }

    // MARK: Chunks

    /// Fetches, verifies and decompresses consecutive frames: one Range request.
    func frames(of chunk: ChunkIndex, entry: MapEntry, _ frames: Range<Int>) async throws(DiskError) -> ChunkBuffer {
        let name = ObjectName.chunk(chunk, version: entry.version)
        let range = ChunkObject.readRange(frames, entry: entry)
        let first = ChunkObject.frameRange(frames, entry: entry).lowerBound
        let bytes = try await get(name, range: range)
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
            throw lost(name, error.description)
        }
    }

    private func get(_ name: ObjectName, range: Range<Int>?) async throws(DiskError) -> [UInt8] {
        do throws(StoreError) {
            return try await store.reads.get(name, range: range)
        } catch  where error.kind == .notFound {
            throw lost(name, "it is missing on the remote")
        } catch {
            throw DiskError(error)
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
