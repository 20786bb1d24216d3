internal import Synchronization
internal import VDriveDataPlane
internal import VDriveMetadata
package import VDriveModel

/// What waits to be uploaded and what is on its way, for people and programs: one instant's picture.
package struct UploadQueue: Sendable {
    package enum Stage: String, Sendable, CaseIterable {
        /// The epoch was cut off just now.
        case sealing
        /// Its chunks are being compressed and put.
        case uploading
        /// All its chunks are on the remote; the map and the commit follow.
        case committing
    }

    package struct EpochInFlight: Sendable {
        package var epoch: Epoch
        package var stage: Stage
        package var chunks: Int
        /// Of these, how many are on the remote.
        package var uploadedChunks: Int
        /// Since it was sealed.
        package var seconds: Double
    }

    package struct Chunk: Sendable {
        package enum State: String, Sendable, CaseIterable {
            case uploading
            /// On the remote; the commit that names it is still to come.
            case uploaded
            /// Part of the epoch in flight, its turn is still to come.
            case sealed
            /// For the next epoch.
            case dirty
        }

        package var index: ChunkIndex
        package var state: State
        /// Of pages that are not committed on the remote.
        package var dirtyBytes: UInt64
        /// How long something of it has been on this machine alone; nil for what an earlier daemon left.
        package var dirtySeconds: Double?
        /// How often a step of its way failed and was tried again. Requests that the store repeats by itself, because
        /// the remote is away or overloaded, are not counted.
        package var retries: Int
    }

    package var isPaused: Bool
    package var epoch: EpochInFlight?
    /// All that is dirty.
    package var chunkCount: Int
    package var dirtyBytes: UInt64
    package var uploadingChunks: Int
    /// A part of them, those in flight first, then the oldest.
    package var chunks: [Chunk]
}

/// What CacheActor knows of dirty chunks.
struct DirtyChunks: Sendable {
    /// When each became dirty; nil for what an earlier daemon left.
    var since: [ChunkIndex: ContinuousClock.Instant?]
}

extension CacheActor {
    var dirtyChunks: DirtyChunks {
        var since: [ChunkIndex: ContinuousClock.Instant?] = [:]
        since.reserveCapacity(dirty.count)
        for chunk in dirty { since[chunk] = .some(dirtySince[chunk]) }
        return DirtyChunks(since: since)
    }

    /// Bytes of a chunk's pages that are not committed.
    func dirtyBytes(of chunks: [ChunkIndex]) -> [UInt64] {
        chunks.map { UInt64((pageRecord(of: $0)?.dirty.count ?? 0) * DiskGeometry.pageBytes) }
    }
}

extension UploadQueueActor {
    /// - Parameter limit: chunks that are listed, 0 or more.
    nonisolated func queue(limit: Int) async -> UploadQueue {
        let dirty = await cache.dirtyChunks.since
        let (progress, isPaused) = await snapshot
        let now = ContinuousClock.now
        // Sorted here and not on an actor: a full cache may hold hundreds of thousands of dirty chunks.
        let order = UploadQueue.Chunk.State.allCases
        let ranked = dirty.map { chunk, since in
            let state = progress?.state(of: chunk) ?? .dirty
            return (rank: order.firstIndex(of: state) ?? order.count, since: since, chunk: chunk, state: state)
        }
        let listed = ranked.sorted { left, right in
            if left.rank != right.rank { return left.rank < right.rank }
            if left.since != right.since { return Self.isOlder(left.since, right.since) }
            return left.chunk < right.chunk
        }.prefix(limit)
        let bytes = await cache.dirtyBytes(of: listed.map(\.chunk))
        let pages = max(0, plane.counters.dirtyPages.load(ordering: .relaxed))
        return UploadQueue(
            isPaused: isPaused,
            epoch: progress.map { progress in
                UploadQueue.EpochInFlight(
                    epoch: progress.epoch,
                    stage: progress.stage,
                    chunks: progress.chunkCount,
                    uploadedChunks: progress.uploaded.count,
                    seconds: (now - progress.began) / .seconds(1)
                )
            },
            chunkCount: dirty.count,
            dirtyBytes: UInt64(pages * DiskGeometry.pageBytes),
            uploadingChunks: progress?.uploading.count ?? 0,
            chunks: zip(listed, bytes).map { entry, bytes in
                UploadQueue.Chunk(
                    index: entry.chunk,
                    state: entry.state,
                    dirtyBytes: bytes,
                    dirtySeconds: entry.since.map { max(0, (now - $0) / .seconds(1)) },
                    retries: progress?.uploading[entry.chunk] ?? 0
                )
            }
        )
    }

    private var snapshot: (EpochProgress?, isPaused: Bool) { (progress, hold.isPaused) }

    /// What an earlier daemon left is the oldest of all.
    private static func isOlder(_ left: ContinuousClock.Instant?, _ right: ContinuousClock.Instant?) -> Bool {
        guard let left else { return right != nil }
        return right.map { left < $0 } ?? false
    }
}
