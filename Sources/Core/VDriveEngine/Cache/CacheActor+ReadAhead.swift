internal import VDriveDataPlane
internal import VDriveModel

extension CacheActor {
    /// Brings a chunk in before it is asked for. A failure is nobody's: whoever reads the chunk gets its own.
    ///
    /// - Parameter marks: the first read of the chunk asks for more.
    func prefetch(_ chunk: ChunkIndex, marks: Bool) async {
        guard !Task.isCancelled, chunk.rawValue < geometry.chunkCount else { return }
        let whole = ChunkPart(chunk: chunk, bytes: 0..<geometry.chunkBytes)
        guard case .pinned? = try? await pinResident(whole, for: .readAhead) else {
            // A hole cannot be marked, but a reader passes it without a miss too.
            if marks { reached(chunk) }
            return
        }
        unpin(chunk)
        plane.table.update(chunk) { (marks ? $0.marked(true) : $0).ahead(true) }
    }

    /// A sequential reader has come to a marked chunk: its window moves on before it ends.
    func reached(_ chunk: ChunkIndex) {
        announce(readAhead.reached(chunk, geometry: geometry))
    }

    func announce(_ chunks: [ChunkIndex]) {
        for (position, chunk) in chunks.enumerated() { events.yield(.readAhead(chunk, marks: position == 0)) }
    }
}
