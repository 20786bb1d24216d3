internal import Linux
internal import VDriveDataPlane
internal import VDriveModel

extension Disk {
    /// Copies all data of one open disk to another of the same geometry, through the engines' own ways: the target's
    /// cache limit and its uploads set the pace. Both must `run`.
    ///
    /// - Parameters:
    ///   - target: a new disk, all zeros.
    ///   - progress: gets the bytes copied so far, once a chunk; what it throws ends the copy.
    /// - Throws: the first error of either side; what was copied until then stays in the target.
    package func copy(
        to target: Disk,
        progress: @Sendable (UInt64) async throws(DiskError) -> Void
    ) async throws(DiskError) {
        precondition(geometry == target.geometry, "a copy has the geometry of what it copies")
        var next: ChunkIndex? = try await cache.nextData(from: ChunkIndex(0))
        var copied: UInt64 = 0
        while let chunk = next {
            if Task.isCancelled { throw DiskError(.busy, "The copy was cancelled.") }
            try await copy(chunk, to: target)
            copied += UInt64(geometry.chunkBytes)
            try await progress(copied)
            let following = ChunkIndex(chunk.rawValue + 1)
            next = following.rawValue < geometry.chunkCount ? try await cache.nextData(from: following) : nil
        }
    }

    /// In pieces of one request, so that neither side is asked for more than a guest asks for.
    private func copy(_ chunk: ChunkIndex, to target: Disk) async throws(DiskError) {
        let pieceBytes = min(geometry.chunkBytes, DataPlaneLimits.requestBytesMax)
        for start in stride(from: 0, to: geometry.chunkBytes, by: pieceBytes) {
            let part = ChunkPart(chunk: chunk, bytes: start..<start + pieceBytes)
            let pool = target.dataPlane.buffers
            let buffer = await target.threads.run { pool.lease(for: pieceBytes) }
            // The source may have no room and no uploads to give it some: then its bytes come around its cache.
            switch try await cache.pinResident(part, for: .read) {
            case .zeros: continue
            case .bypassed(let bytes): buffer.memory.copyMemory(from: UnsafeRawBufferPointer(bytes.bytes))
            case .pinned: try await copy(pinned: part, into: buffer)
            }
            if ChunkCoding.isZero(UnsafeRawBufferPointer(rebasing: buffer.memory[..<pieceBytes])) { continue }
            try await target.cache.write(part, .buffer(buffer, from: 0))
        }
    }

    /// Unpins the chunk.
    private func copy(pinned part: ChunkPart, into buffer: PooledBuffer) async throws(DiskError) {
        let offset = geometry.offset(of: part.chunk) + UInt64(part.bytes.lowerBound)
        let count = part.bytes.count
        let file = dataPlane.cache
        let result: Result<Void, Errno> = await threads.run {
            Result { () throws(Errno) in
                try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<count]))
            }
        }
        await cache.unpin(part.chunk)
        do throws(Errno) { try result.get() } catch {
            throw DiskError(.retry, "The cache at \(file.directory) could not be read: \(error).")
        }
    }
}
