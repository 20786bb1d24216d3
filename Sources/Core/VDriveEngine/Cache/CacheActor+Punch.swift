internal import Linux
internal import Logging
internal import VDriveDataPlane
internal import VDriveModel

/// Pages leave the cache file by holes, and a hole can fail like any other change of a file.
///
/// LMDB has forgotten an evicted page by then (ordering rule 2), so it is gone all the same; what lies in the file of
/// it is nobody's, and takes space. It does no harm while pages are fetched or written whole. Harm begins where a page
/// that is not present is taken for zeros, as invariant 1 allows: a trim, a hole that is written to, a base that is
/// gone. So the chunk is noted in `unpunched`, those steps punch it first, the cleaning tries it again, and a stop with
/// such a chunk is no clean one: the next start sweeps the file.
extension CacheActor {
    /// Gives pages of a chunk back to the filesystem.
    func punch(_ chunk: ChunkIndex, _ runs: [Range<Int>]) async throws(Errno) {
        let start = geometry.offset(of: chunk)
        let cache = plane.cache
        try await onDisk { () throws(Errno) in
            for run in runs {
                let offset = start + UInt64(run.lowerBound * DiskGeometry.pageBytes)
                try cache.punch(at: offset, count: run.count * DiskGeometry.pageBytes)
            }
        }
    }

    /// Keeps invariant 1 for pages that are not present, as after a write that failed half way, or notes that it could
    /// not.
    func punchAbsent(_ chunk: ChunkIndex, _ runs: [Range<Int>]) async {
        do throws(Errno) { try await punch(chunk, runs) } catch { noteUnpunched([chunk], error) }
    }

    func noteUnpunched(_ chunks: [ChunkIndex], _ error: Errno) {
        unpunched.formUnion(chunks)
        logger.error(
            "the cache could not give space back; it is tried again",
            metadata: ["chunks": "\(chunks.count)", "error": "\(error)"]
        )
    }

    /// Punches what was left of a chunk when it could not be punched. Call it before absent pages are taken for zeros,
    /// with the lock, and closed if the chunk is resident: hits write to absent pages of dirty ones.
    ///
    /// - Throws: when it cannot be punched now either; `outOfSpace` for a wait.
    func punchRest(of chunk: ChunkIndex) async throws(DiskError) {
        do throws(Errno) { try await punchNoted(chunk) } catch {
            throw DiskError(
                Self.isNoSpace(error) ? .outOfSpace : .retry,
                "The cache at \(plane.cache.directory) could not give space back: \(error)."
            )
        }
    }

    private func punchNoted(_ chunk: ChunkIndex) async throws(Errno) {
        guard unpunched.contains(chunk) else { return }
        let word = plane.table.load(chunk)
        let absent =
            switch word.presence {
            case .unknown, .hole: PageSet(full: geometry.pagesPerChunk)
            case .partial: plane.pages.present(word.slot).inverse
            case .full: PageSet(pageCount: geometry.pagesPerChunk)
            }
        try await punch(chunk, absent.runs)
        unpunched.remove(chunk)
    }

    /// Tries again what could not be punched, up to the first that still cannot.
    func punchAgain() async {
        for chunk in unpunched {
            await lock(chunk)
            defer { unlock(chunk) }
            await close(chunk)
            defer { open(chunk) }
            do throws(Errno) { try await punchNoted(chunk) } catch { return }
        }
    }

    /// Whether the records say all that is in the cache, so that a stop can be a clean one.
    var isSound: Bool { unverified.isEmpty && unpunched.isEmpty }
}
