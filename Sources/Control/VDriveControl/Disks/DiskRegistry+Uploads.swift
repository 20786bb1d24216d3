import VDriveEngine
import VDriveModel
package import VDriveProtocol

extension DiskRegistry {
    /// What waits to be uploaded, and what is on its way.
    ///
    /// - Parameter limit: chunks that are listed.
    package func uploadQueue(of name: DiskName, limit: Int) async throws(RPCError) -> UploadQueueOf.Output {
        UploadQueueOf.Output(name: name, try await attachedDisk(name).uploadQueue(limit: limit))
    }

    /// It lasts until `resumeUploads`, and no longer than the disk is attached.
    package func pauseUploads(of name: DiskName) async throws(RPCError) -> DiskStatus {
        await (try attachedDisk(name)).pauseUploads()
        return try await status(of: name)
    }

    package func resumeUploads(of name: DiskName) async throws(RPCError) -> DiskStatus {
        await (try attachedDisk(name)).resumeUploads()
        return try await status(of: name)
    }
}

extension UploadQueueOf.Output {
    fileprivate init(name: DiskName, _ queue: UploadQueue) {
        self.init(
            name: name.text,
            paused: queue.isPaused,
            epoch: queue.epoch.map { epoch in
                EpochInFlight(
                    epoch: epoch.epoch.rawValue,
                    stage: Stage(epoch.stage),
                    chunks: epoch.chunks,
                    uploadedChunks: epoch.uploadedChunks,
                    ageSeconds: epoch.seconds
                )
            },
            totalChunks: queue.chunkCount,
            dirtyBytes: queue.dirtyBytes,
            uploadingChunks: queue.uploadingChunks,
            chunks: queue.chunks.map { chunk in
                Chunk(
                    index: chunk.index.rawValue,
                    state: Chunk.State(chunk.state),
                    dirtyBytes: chunk.dirtyBytes,
                    ageSeconds: chunk.dirtySeconds,
                    retries: chunk.retries
                )
            }
        )
    }
}

extension UploadQueueOf.Output.Stage {
    fileprivate init(_ stage: UploadQueue.Stage) {
        switch stage {
        case .sealing: self = .sealing
        case .uploading: self = .uploading
        case .committing: self = .committing
        }
    }
}

extension UploadQueueOf.Output.Chunk.State {
    fileprivate init(_ state: UploadQueue.Chunk.State) {
        switch state {
        case .uploading: self = .uploading
        case .uploaded: self = .uploaded
        case .sealed: self = .sealed
        case .dirty: self = .dirty
        }
    }
}
