internal import Linux
internal import Logging
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// The way of one sealed chunk: captured, completed from its base, compressed, put. Several at a time, none on the
/// actor.
extension UploadQueueActor {
    struct Uploaded: Sendable {
        var chunk: ChunkIndex
        var entry: MapEntry?
        var receipt: UploadedReceipt?
        var replaced: MapEntry?
        /// Not garbage, though nothing refers to it any more.
        var keepsReplaced = false
    }

    nonisolated func putChunk(
        _ chunk: ChunkIndex,
        _ version: ObjectVersion
    ) async -> Result<Uploaded, DiskError> {
        do throws(DiskError) {
            // Here a pause costs no memory.
            try await untilGoing()
            await noteBegin(of: chunk)
            let captured = try await persist(of: chunk) { () async throws(DiskError) in
                try await self.cache.capture(chunk)
            }
            let base = try await persist(of: chunk) { () async throws(DiskError) in
                try await self.remote.entry(for: chunk)
            }
            guard let buffer = captured.buffer else { return .success(await zeros(chunk, replacing: base)) }
            var lost: PageSet?
            if let base, !captured.present.isFull {
                let start = ContinuousClock.now
                lost = try await persist(of: chunk) { () async throws(DiskError) in
                    try await self.complete(
                        captured,
                        buffer,
                        from: base,
                        givingUp: start.duration(to: .now) >= self.patience
                    )
                }
            }
            let lostPages = lost
            let encoded: (object: [UInt8], entry: MapEntry)?
            do throws(FormatError) {
                let id = remote.id
                let geometry = plane.geometry
                encoded = try await encoders.run { () throws(FormatError) in
                    try ChunkCoding.encode(
                        buffer,
                        lostPages: lostPages,
                        id: id,
                        chunk: chunk,
                        version: version,
                        geometry: geometry
                    )
                }
            } catch {
                throw DiskError(.internal, error.description)
            }
            guard let (object, entry) = encoded else { return .success(await zeros(chunk, replacing: base)) }
            let receipt = try await persist(of: chunk) { () async throws(DiskError) in
                try await self.untilGoing()
                try await Faults.at(.putBeforeChunk)
                let receipt = try await self.remote.put(.chunk(chunk, version: version), object)
                try await Faults.at(.putAfterChunk)
                return receipt
            }
            await noteEnd(of: chunk)
            plane.counters.noteUpload(rawBytes: plane.geometry.chunkBytes, storedBytes: object.count)
            if Faults.breaks(.rule7) { await cache.cleanTooEarly(chunk) }
            // Somebody may still find the object that should be there, and put it back.
            let keepsBase = lostPages != nil
            return .success(
                Uploaded(chunk: chunk, entry: entry, receipt: receipt, replaced: base, keepsReplaced: keepsBase)
            )
        } catch {
            return .failure(error)
        }
    }

    /// A chunk of zeros has no object: nothing is put for it.
    private func zeros(_ chunk: ChunkIndex, replacing base: MapEntry?) -> Uploaded {
        noteEnd(of: chunk)
        return Uploaded(chunk: chunk, entry: nil, receipt: nil, replaced: base)
    }

    /// Fills the pages that are not in the cache from the chunk's last object.
    ///
    /// - Parameter givingUp: whether pages that are lost with that object are given up. One lost object must not keep
    ///   the whole disk from being committed for ever.
    /// - Returns: the pages that are lost; nil when there are none.
    /// - Throws: `corrupt` when pages are lost that are not to be given up yet.
    private nonisolated func complete(
        _ captured: CapturedChunk,
        _ buffer: ChunkBuffer,
        from base: MapEntry,
        givingUp: Bool
    ) async throws(DiskError) -> PageSet? {
        let geometry = plane.geometry
        let missing = captured.present.inverse
        var lost = PageSet(pageCount: geometry.pagesPerChunk)
        if let known = base.lostPages { lost = known.intersection(missing) }
        var frames = PageSet(pageCount: geometry.framesPerChunk)
        for run in missing.subtracting(lost).runs {
            frames.insert(run.lowerBound / geometry.pagesPerFrame..<(run.upperBound - 1) / geometry.pagesPerFrame + 1)
        }
        for run in frames.runs {
            do throws(DiskError) {
                try await fill(buffer, of: captured.chunk, missing, from: base, run)
            } catch {
                guard error.kind == .corrupt, givingUp else { throw error }
                lost.formUnion(try await fillWhatIsSound(buffer, of: captured.chunk, missing, from: base, run))
            }
        }
        return lost.isEmpty ? nil : lost
    }

    /// Frame by frame, so that a damaged one costs its own pages alone.
    ///
    /// - Returns: the pages that are lost.
    private nonisolated func fillWhatIsSound(
        _ buffer: ChunkBuffer,
        of chunk: ChunkIndex,
        _ missing: PageSet,
        from base: MapEntry,
        _ frames: Range<Int>
    ) async throws(DiskError) -> PageSet {
        let geometry = plane.geometry
        var lost = PageSet(pageCount: geometry.pagesPerChunk)
        for frame in frames {
            do throws(DiskError) {
                try await fill(buffer, of: chunk, missing, from: base, frame..<frame + 1)
            } catch {
                guard error.kind == .corrupt else { throw error }
                lost.insert(frame * geometry.pagesPerFrame..<(frame + 1) * geometry.pagesPerFrame)
            }
        }
        lost = lost.intersection(missing)
        logger.critical(
            "pages are given up: the object that held them is lost",
            metadata: ["chunk": "\(chunk)", "pages": "\(lost.count)"]
        )
        return lost
    }

    private nonisolated func fill(
        _ buffer: ChunkBuffer,
        of chunk: ChunkIndex,
        _ missing: PageSet,
        from base: MapEntry,
        _ frames: Range<Int>
    ) async throws(DiskError) {
        let geometry = plane.geometry
        guard let raw = try await remote.frames(of: chunk, entry: base, frames) else {
            throw DiskError(.internal, "The base of \(chunk) was replaced by somebody else.")
        }
        let first = frames.lowerBound * geometry.pagesPerFrame
        for page in first..<frames.upperBound * geometry.pagesPerFrame where missing.contains(page) {
            let source = (page - first) * DiskGeometry.pageBytes
            let target = page * DiskGeometry.pageBytes
            buffer.bytes.baseAddress!.advanced(by: target).copyMemory(
                from: raw.bytes.baseAddress!.advanced(by: source),
                byteCount: DiskGeometry.pageBytes
            )
        }
    }
}
