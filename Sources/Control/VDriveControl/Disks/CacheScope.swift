import VDriveEngine
import VDriveHost
import VDriveModel
import VDriveProtocol

/// What a call of the group `cache` is about, on a disk that is attached.
struct CacheScope: Sendable {
    enum Part: Sendable {
        case whole
        /// Byte ranges of the disk, as they were asked for.
        case ranges([Range<UInt64>])
        case files([PathQuestion.Target], in: PathAsker)
    }

    let name: DiskName
    let attached: AttachedDisk
    let part: Part

    /// All of the disk, where the part has no more to say.
    var wholeDisk: Range<UInt64> { 0..<attached.disk.geometry.diskBytes }
}

extension DiskRegistry {
    /// Finds out what a target means.
    ///
    /// - Throws: `notFound`, `refused` when the disk is not attached or not mounted, `busy`, `invalidParams` for a part
    ///   beyond the disk's end and for paths on several disks.
    func scope(_ target: CacheTarget) throws(RPCError) -> CacheScope {
        if let paths = target.paths { return try scope(paths, target) }
        let name = try DiskName(target.name ?? "")
        let attached = try attached(name)
        if target.metadata == true {
            guard let volume = attached.volume else {
                throw RPCError(.refused, "The disk \(name) is attached without a filesystem, so it has no metadata.")
            }
            let all = PathQuestion.Target(path: volume.mountPoint, isRecursive: true, isMetadata: true)
            return CacheScope(name: name, attached: attached, part: .files([all], in: volume.paths))
        }
        guard target.isPart else { return CacheScope(name: name, attached: attached, part: .whole) }
        let ranges = try Self.ranges(target, attached.disk.geometry)
        return CacheScope(name: name, attached: attached, part: .ranges(ranges))
    }

    /// Finds out what a job's target means, and tells the job its disk: paths do not name it.
    func scope(_ target: CacheTarget, _ job: JobHandle) throws(RPCError) -> CacheScope {
        let scope = try scope(target)
        job.belong(to: scope.name.text)
        return scope
    }

    private static func ranges(
        _ target: CacheTarget,
        _ geometry: DiskGeometry
    ) throws(RPCError) -> [Range<UInt64>] {
        let end = geometry.diskBytes
        if let chunks = target.chunks {
            let count = end / UInt64(geometry.chunkBytes)
            if let beyond = chunks.first(where: { $0 >= count }) {
                throw RPCError(.invalidParams, "There is no chunk \(beyond); the disk has \(count).")
            }
            var seen: Set<UInt64> = []
            return chunks.filter { seen.insert($0).inserted }.map { chunk in
                let start = geometry.offset(of: ChunkIndex(chunk))
                return start..<start + UInt64(geometry.chunkBytes)
            }
        }
        let offset = target.offset ?? 0
        guard offset < end else {
            throw RPCError(.invalidParams, "The offset \(offset) is beyond the disk's end; it has \(end) bytes.")
        }
        return [offset..<offset + min(target.length ?? end, end - offset)]
    }

    private func scope(_ paths: [String], _ target: CacheTarget) throws(RPCError) -> CacheScope {
        var found: (name: DiskName, attached: AttachedDisk, volume: AttachedDisk.Volume)?
        var targets: [PathQuestion.Target] = []
        for path in paths {
            let path = Self.plain(path)
            let (name, volume) = try self.volume(at: path)
            let attached = try attached(name)
            guard found == nil || found?.name == name else {
                throw RPCError(
                    .invalidParams,
                    "\(path) lies on the disk \(name), and others on another one; make a call for each disk."
                )
            }
            found = (name, attached, volume)
            // Named twice, also by links that a client has followed, it is meant once.
            if targets.contains(where: { $0.path.isSamePath(as: path) }) { continue }
            targets.append(
                PathQuestion.Target(
                    path: path,
                    isRecursive: target.recursive ?? false,
                    isMetadata: target.metadata ?? false
                )
            )
        }
        guard let found else { throw RPCError(.invalidParams, "There is no path.") }
        return CacheScope(name: found.name, attached: found.attached, part: .files(targets, in: found.volume.paths))
    }

    /// Without empty parts, dots and a slash at the end.
    private static func plain(_ path: String) -> String {
        "/" + path.pathParts.filter { $0 != "." }.joined(separator: "/")
    }

    /// The mounted disk that a path lies on, going by its name alone: looking at it may wait for the disk.
    private func volume(at path: String) throws(RPCError) -> (DiskName, AttachedDisk.Volume) {
        var best: (name: DiskName, volume: AttachedDisk.Volume)?
        for (name, entry) in entries {
            let attached: AttachedDisk
            switch entry.phase {
            case .attached(let disk), .detaching(let disk): attached = disk
            case .detached, .attaching, .destroying: continue
            }
            guard let volume = attached.volume, volume.paths.relative(path) != nil,
                volume.mountPoint.utf8.count > best?.volume.mountPoint.utf8.count ?? 0
            else { continue }
            best = (name, volume)
        }
        guard let best else {
            throw RPCError(.notFound, "\(path) does not lie on a disk that is mounted here; see vdrivectl status.")
        }
        return best
    }
}

extension PathAsker {
    /// A path as it is within the filesystem, beginning with a slash; nil when it does not lie there.
    func relative(_ path: String) -> String? {
        if path.isSamePath(as: mountPoint) { return "/" }
        guard path.isBelow(mountPoint) else { return nil }
        return mountPoint == "/" ? path : String(decoding: path.utf8.dropFirst(mountPoint.utf8.count), as: UTF8.self)
    }

    /// The way back.
    func absolute(_ relative: String) -> String {
        if relative == "/" { return mountPoint }
        return mountPoint == "/" ? relative : mountPoint + relative
    }
}

extension RPCError {
    init(_ failure: PathAnswer.Failure) {
        let code: ErrorCode =
            switch failure.kind {
            case .notFound: .notFound
            case .unsuitable: .invalidParams
            case .forbidden: .fixConfiguration
            case .unreadable: .retry
            case .busy: .busy
            case .failed: .internal
            }
        self.init(code, failure.message)
    }
}
