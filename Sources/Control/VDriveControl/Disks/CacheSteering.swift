import VDriveEngine
import VDriveHost
import VDriveModel
import VDriveProtocol

/// What people do with the cache of an attached disk.
struct CacheSteering: Sendable {
    let scope: CacheScope

    var disk: Disk { scope.attached.disk }
    var name: DiskName { scope.name }

    /// Where what is asked for lies.
    struct Found: Sendable {
        var ranges: [Range<UInt64>]
        /// One for each path.
        var files: [PathAsker.Resolved] = []
        var summary: FoundFiles
    }

    // MARK: Jobs

    /// Runs what may be cancelled, by the job and by the disk's end.
    func steer<Value: Sendable>(
        _ job: JobHandle,
        _ body: @escaping @Sendable () async throws(RPCError) -> Value
    ) async throws(RPCError) -> Value {
        let steering = scope.attached.steering
        return try await job.cancellable { () async throws(RPCError) in try await steering.run(body) }
    }

    /// - Parameter writingOut: what is written first of what the filesystem holds in memory.
    func find(
        writingOut: PathQuestion.WriteOut = .unplaced,
        _ job: JobHandle
    ) async throws(RPCError) -> Found {
        let ranges: [Range<UInt64>]
        switch scope.part {
        case .whole: ranges = [scope.wholeDisk]
        case .ranges(let asked): ranges = asked
        case .files(let targets, let asker): return try await find(targets, asker, writingOut, job)
        }
        return Found(ranges: ranges, summary: FoundFiles(files: nil, bytes: ranges.bytes))
    }

    private func find(
        _ targets: [PathQuestion.Target],
        _ asker: PathAsker,
        _ writingOut: PathQuestion.WriteOut,
        _ job: JobHandle
    ) async throws(RPCError) -> Found {
        job.report(phase: "looking where the files lie", done: 0, .files)
        let files = try await steer(job) { () async throws(RPCError) in
            do throws(PathAnswer.Failure) {
                return try await asker.resolve(targets, writingOut: writingOut) { job.report(done: $0.files) }
            } catch {
                throw RPCError(error)
            }
        }
        var summary = FoundFiles(files: 0, bytes: 0)
        for file in files {
            if let failure = file.summary.failure { throw RPCError(failure) }
            summary.files = (summary.files ?? 0) + file.summary.progress.files
            summary.skippedFiles += file.summary.skipped
            summary.problem = summary.problem ?? file.summary.firstProblem
        }
        var all = DiskRanges()
        for range in files.flatMap(\.ranges) { all.insert(range) }
        let ranges = all.merged()
        summary.bytes = ranges.bytes
        return Found(ranges: ranges, files: files, summary: summary)
    }

    func prefetch(_ job: JobHandle) async throws(RPCError) -> CachePrefetch.Output {
        let found = try await find(job)
        try await fetch(found.ranges, job)
        return CachePrefetch.Output(found: found.summary)
    }

    func fetch(_ ranges: [Range<UInt64>], _ job: JobHandle) async throws(RPCError) {
        job.report(phase: "fetching", done: 0, of: ranges.bytes, .bytes)
        let disk = disk
        try await steer(job) { () async throws(RPCError) in
            do throws(DiskError) {
                try await disk.prefetch(ranges) { job.report(done: $0) }
            } catch {
                throw RPCError(error)
            }
        }
    }

    /// Drops what of a part of a disk, or of files, is not pinned; uploads first what is dirty.
    func evict(_ job: JobHandle) async throws(RPCError) -> CacheEvict.Output {
        let found = try await find(writingOut: .everything, job)
        job.report(phase: "dropping what is on the remote", done: 0, of: found.ranges.bytes, .bytes)
        let disk = disk
        return try await steer(job) { () async throws(RPCError) in
            do throws(DiskError) {
                let result = try await disk.evict(found.ranges) { job.report(done: $0) }
                return CacheEvict.Output(
                    evictedBytes: result.evictedBytes,
                    pinnedBytes: result.pinnedBytes,
                    dirtyBytes: result.dirtyBytes
                )
            } catch {
                throw RPCError(error)
            }
        }
    }

    /// Drops all that is clean and not pinned.
    ///
    /// - Returns: bytes dropped.
    func evictAll(_ job: JobHandle) async throws(RPCError) -> UInt64 {
        job.report(phase: "dropping what is clean", done: 0, .bytes)
        let disk = disk
        return try await steer(job) { () async throws(RPCError) in
            do throws(DiskError) {
                return try await disk.evict(wait: false) { job.report(done: $0, of: $1) }
            } catch {
                throw RPCError(error)
            }
        }
    }

    // MARK: Lists

    func list(_ params: CacheList.Parameters) async throws(RPCError) -> CacheList.Output {
        let limit = params.limit ?? RPCLimits.cacheEntriesDefault
        let steering = scope.attached.steering
        switch scope.part {
        case .whole: return try await list([scope.wholeDisk], limit, params.token)
        case .ranges(let ranges): return try await list(ranges, limit, params.token)
        case .files(let targets, let asker):
            return try await steering.run { () async throws(RPCError) in
                let page: (entries: [PathAnswer.Entry], token: String?)
                do throws(PathAnswer.Failure) {
                    page = try await asker.list(targets, page: .init(entriesMax: limit, token: params.token))
                } catch {
                    throw RPCError(error)
                }
                return CacheList.Output(entries: try await entries(page.entries), next: page.token)
            }
        }
    }

    private func list(
        _ ranges: [Range<UInt64>],
        _ limit: Int,
        _ token: String?
    ) async throws(RPCError) -> CacheList.Output {
        guard let start = token.map({ Int($0) }) ?? 0, (0..<ranges.count).contains(start) else {
            throw RPCError(.invalidParams, "This is no token that a list of these parts has given.")
        }
        let end = min(start + limit, ranges.count)
        let asked = Array(ranges[start..<end])
        let residencies = try await residencies(of: asked)
        let entries = zip(asked, residencies).map { range, residency in
            var entry = CacheEntry(
                kind: .range,
                path: nil,
                offset: range.lowerBound,
                sizeBytes: range.upperBound - range.lowerBound
            )
            entry.add(residency)
            entry.settle()
            return entry
        }
        return CacheList.Output(entries: entries, next: end < ranges.count ? "\(end)" : nil)
    }

    private func entries(_ found: [PathAnswer.Entry]) async throws(RPCError) -> [CacheEntry] {
        let ranges = found.map(\.ranges.asRanges)
        let residencies = try await residencies(of: ranges.flatMap { $0 })
        var next = residencies.startIndex
        return zip(found, ranges).map { file, ranges in
            var entry = CacheEntry(
                kind: file.kind == .directory ? .directory : .file,
                path: file.path,
                offset: nil,
                sizeBytes: file.bytes
            )
            for residency in residencies[next..<next + ranges.count] { entry.add(residency) }
            next += ranges.count
            entry.addUnplaced(file.unplacedBytes)
            entry.problem = file.problem
            if file.kind == .file, file.problem == nil { entry.settle() }
            return entry
        }
    }

    private func residencies(of ranges: [Range<UInt64>]) async throws(RPCError) -> [RangeResidency] {
        let disk = disk
        return try await scope.attached.steering.run { () async throws(RPCError) in
            do throws(DiskError) {
                return try await disk.residency(of: ranges)
            } catch {
                throw RPCError(error)
            }
        }
    }

    func residency(of ranges: [Range<UInt64>]) async throws(RPCError) -> RangeResidency {
        try await residencies(of: ranges).reduce(into: RangeResidency()) { $0.add($1) }
    }
}

extension CacheEntry {
    fileprivate mutating func add(_ residency: RangeResidency) {
        dataBytes += residency.cachedBytes + residency.absentBytes
        cachedBytes += residency.cachedBytes
        dirtyBytes += residency.dirtyBytes
        pinnedBytes += residency.pinnedBytes
    }

    /// What is in the filesystem's memory alone: nearer than the cache, and not on the remote.
    fileprivate mutating func addUnplaced(_ bytes: UInt64) {
        dataBytes += bytes
        cachedBytes += bytes
        dirtyBytes += bytes
    }

    /// All is added.
    fileprivate mutating func settle() {
        state = cachedBytes == dataBytes ? .cached : cachedBytes == 0 ? .cloud : .partial
    }
}

extension [Range<UInt64>] {
    var bytes: UInt64 { reduce(0) { $0 + $1.upperBound - $1.lowerBound } }
}
