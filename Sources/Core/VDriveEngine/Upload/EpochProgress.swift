internal import VDriveModel

/// How far the epoch in flight has come: a value, kept by UploadQueueActor for those who look at the queue.
struct EpochProgress {
    let epoch: Epoch
    let began = ContinuousClock.now
    let chunkCount: Int
    var stage = UploadQueue.Stage.sealing
    /// Sealed, and not begun yet.
    private(set) var waiting: Set<ChunkIndex>
    /// On their way, with how often each was tried again.
    private(set) var uploading: [ChunkIndex: Int] = [:]
    /// On the remote, for the commit to name.
    private(set) var uploaded: Set<ChunkIndex> = []

    init(_ sealed: SealedEpoch) {
        epoch = sealed.epoch
        chunkCount = sealed.chunks.count
        waiting = Set(sealed.chunks)
    }

    mutating func begin(_ chunk: ChunkIndex) {
        waiting.remove(chunk)
        uploading[chunk] = 0
    }

    mutating func retry(_ chunk: ChunkIndex) { uploading[chunk]? += 1 }

    mutating func end(_ chunk: ChunkIndex) {
        uploading[chunk] = nil
        uploaded.insert(chunk)
    }

    func state(of chunk: ChunkIndex) -> UploadQueue.Chunk.State {
        if uploading[chunk] != nil { return .uploading }
        if uploaded.contains(chunk) { return .uploaded }
        return waiting.contains(chunk) ? .sealed : .dirty
    }
}

extension UploadQueueActor {
    func noteBegin(of chunk: ChunkIndex) { progress?.begin(chunk) }
    func noteRetry(of chunk: ChunkIndex) { progress?.retry(chunk) }
    func noteEnd(of chunk: ChunkIndex) { progress?.end(chunk) }
}
