import Glibc
import Linux

/// Answers a `PathQuestion`: which ranges of the disk files lie in.
///
/// ## Notes on the design
/// Everything here waits for the disk, so it runs in a process of its own (see `PathProcess`), in one thread.
///
/// 1. A path must lie on the filesystem that is mounted at the mount point: its device number says so, of the open
///    file, after links in the path were followed. Below it links are never followed, and other mounts never entered.
/// 2. A file with several names counts once a target.
/// 3. Holes, and what was reserved and never written, are no data. What has no place yet is written out first, or
///    counted, as the question says.
/// 4. Nothing is kept a file but the fingerprint's sum; ranges are kept merged, see `DiskRanges`.
package final class PathResolver {
    let question: PathQuestion
    let emit: (PathAnswer) -> Void
    private let clock = ContinuousClock()
    private var lastProgress = ContinuousClock.now

    private static let rangesALine = 4096
    private static let progressPause = Duration.milliseconds(200)
    /// Files between two looks at the clock.
    private static let progressStride: UInt64 = 64

    /// - Parameter emit: takes the lines of the answer, in order.
    package init(_ question: PathQuestion, emit: @escaping (PathAnswer) -> Void) {
        self.question = question
        self.emit = emit
    }

    package func run() {
        do throws(PathAnswer.Failure) {
            let device = try mountedDevice()
            if question.writesOut == .everything { try writeOut() }
            if let page = question.page {
                try list(page, on: device)
            } else {
                for target in question.targets { emit(.target(summary(of: target, on: device))) }
            }
        } catch {
            emit(.failure(error))
        }
    }

    /// Tells a target's ranges; one that fails keeps none of the others from being told.
    private func summary(of target: PathQuestion.Target, on device: UInt64) -> PathAnswer.Summary {
        do throws(PathAnswer.Failure) {
            return try resolve(target, on: device)
        } catch {
            var summary = PathAnswer.Summary()
            summary.failure = error
            return summary
        }
    }

    private func writeOut() throws(PathAnswer.Failure) {
        do throws(Errno) {
            try OpenFile.open(question.mountPoint, flags: O_RDONLY | O_DIRECTORY).syncFilesystem()
        } catch {
            throw PathAnswer.Failure(
                kind: .failed,
                message: "\(question.mountPoint) cannot be written out: \(error)."
            )
        }
    }

    private func mountedDevice() throws(PathAnswer.Failure) -> UInt64 {
        guard let place = try? FileStatus.of(question.mountPoint),
            let device = try? FileStatus.of(question.devicePath), place.device == device.specialDevice
        else {
            throw PathAnswer.Failure(
                kind: .failed,
                message: "\(question.devicePath) is not mounted at \(question.mountPoint)."
            )
        }
        return place.device
    }

    // MARK: Targets

    /// A target's file or directory, open.
    struct Root {
        let file: OpenFile
        let path: String
        let status: FileStatus
        /// What is mounted below it.
        let mounts: Set<[UInt8]>
    }

    func open(_ path: String, on device: UInt64) throws(PathAnswer.Failure) -> Root {
        do throws(Errno) {
            let real = try Directory.resolve(path)
            let status = try FileStatus.of(real, followsLinks: false)
            guard status.device == device else { throw Errno.improperLink }
            // A pipe or a device is not to be opened: that alone may do something.
            guard status.kind == .file || status.kind == .directory else { throw Errno.invalidArgument }
            let file = try OpenFile.open(real, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            guard try file.status().device == device else { throw Errno.improperLink }
            let table = try? MountTable.current()
            let mounts = (table?.entries(below: real) ?? []).map { Array($0.path.utf8) }
            return Root(file: file, path: real, status: status, mounts: Set(mounts))
        } catch .improperLink {
            throw PathAnswer.Failure(
                kind: .unsuitable,
                message: "\(path) lies on another filesystem than the disk mounted at \(question.mountPoint)."
            )
        } catch .invalidArgument {
            throw PathAnswer.Failure(kind: .unsuitable, message: "\(path) is neither a file nor a directory.")
        } catch {
            throw Self.failure(path, error)
        }
    }

    /// Why a path cannot be opened.
    private static func failure(_ path: String, _ error: Errno) -> PathAnswer.Failure {
        switch error {
        // Also when a folder on the way has become a file, or no name can be so long.
        case .noSuchFileOrDirectory, .notDirectory, .nameTooLong:
            PathAnswer.Failure(kind: .notFound, message: "There is no \(path).")
        case .tooManySymbolicLinks:
            PathAnswer.Failure(kind: .unsuitable, message: "\(path) leads through too many links.")
        case .permissionDenied, .notPermitted:
            PathAnswer.Failure(kind: .forbidden, message: "The daemon may not open \(path): \(error).")
        case .ioError, .timedOut:
            PathAnswer.Failure(kind: .unreadable, message: "\(path) cannot be read now: \(error).")
        default:
            PathAnswer.Failure(kind: .failed, message: "\(path) cannot be opened: \(error).")
        }
    }

    func walk(_ root: Root, isRecursive: Bool) throws(PathAnswer.Failure) -> TreeWalk {
        do throws(Errno) {
            return try TreeWalk(root.file, path: root.path, isRecursive: isRecursive, mounts: root.mounts)
        } catch {
            throw PathAnswer.Failure(kind: .failed, message: "\(root.path) cannot be read: \(error).")
        }
    }

    // MARK: Ranges

    private func resolve(
        _ target: PathQuestion.Target,
        on device: UInt64
    ) throws(PathAnswer.Failure) -> PathAnswer.Summary {
        let root = try open(target.path, on: device)
        if root.status.kind == .directory, !target.isRecursive {
            throw PathAnswer.Failure(
                kind: .unsuitable,
                message: "\(target.path) is a directory; say --recursive for all that is in it."
            )
        }
        var summary = PathAnswer.Summary()
        if let known = target.fingerprint {
            summary.fingerprint = try fingerprint(root)
            if summary.fingerprint == known {
                summary.isUnchanged = true
                return summary
            }
        }
        var gathering = Gathering(summary: PathAnswer.Summary())
        let isWhole = root.path.utf8.elementsEqual(question.mountPoint.utf8)
        let metadata = target.isMetadata ? try metadata(of: root, isWhole: isWhole) : nil
        if let metadata { gathering.add(metadata.fixed) }
        try add(root, to: &gathering, metadata)
        let ranges = gathering.ranges.merged()
        for start in stride(from: 0, to: ranges.count, by: Self.rangesALine) {
            emit(.ranges([UInt64](ranges[start..<min(start + Self.rangesALine, ranges.count)])))
        }
        // Inodes lie side by side, so that what they need overlaps.
        if target.isMetadata { gathering.summary.progress.bytes = ranges.reduce(0) { $0 + UInt64($1.count) } }
        return gathering.summary
    }

    /// What is known of a target so far.
    private struct Gathering {
        var summary: PathAnswer.Summary
        var ranges = DiskRanges()
        /// Files with several names.
        var seen: Set<UInt64> = []

        mutating func add(_ more: [Range<UInt64>]) {
            for range in more {
                ranges.insert(range)
                summary.progress.bytes += range.upperBound - range.lowerBound
            }
        }

        mutating func add(_ content: Content) {
            add(content.ranges)
            summary.unplacedBytes += content.unplacedBytes
        }

        mutating func note(_ path: String, _ error: Errno) {
            summary.skipped += 1
            summary.firstProblem = summary.firstProblem ?? "\(path): \(error)"
        }
    }

    private func fingerprint(_ root: Root) throws(PathAnswer.Failure) -> UInt64 {
        var sum = Self.mark(root.status)
        guard root.status.kind == .directory else { return sum }
        let walk = try walk(root, isRecursive: true)
        while let item = walk.next() { sum &+= Self.mark(item.status) }
        return sum
    }

    private func add(
        _ root: Root,
        to gathering: inout Gathering,
        _ metadata: (any FilesystemMetadata)?
    ) throws(PathAnswer.Failure) {
        gathering.summary.fingerprint = Self.mark(root.status)
        func add(_ status: FileStatus, _ path: String, _ open: () throws(Errno) -> OpenFile) {
            do throws(Errno) {
                if let metadata {
                    // Links, too: their targets are shown by a long listing.
                    let file = status.kind == .file || status.kind == .directory ? try open() : nil
                    gathering.add(try metadata.ranges(of: status, file))
                } else if status.kind == .file {
                    gathering.add(try content(of: try open(), bytes: status.bytes))
                }
                // Of a directory there is only metadata.
                if metadata != nil || status.kind == .file { gathering.summary.progress.files += 1 }
            } catch .noSuchFileOrDirectory {
                return
            } catch {
                gathering.note(path, error)
            }
        }
        add(root.status, root.path) { () throws(Errno) in root.file }
        guard root.status.kind == .directory else { return }
        let walk = try walk(root, isRecursive: true)
        while let item = walk.next() {
            gathering.summary.fingerprint &+= Self.mark(item.status)
            let counts = item.status.kind != .directory && item.status.links > 1
            if counts, !gathering.seen.insert(item.status.inode).inserted { continue }
            add(item.status, item.path) { () throws(Errno) in
                try item.directory.open(item.name, flags: O_RDONLY | O_NONBLOCK)
            }
            report(gathering.summary.progress)
        }
        gathering.summary.skipped += walk.problems.count
        gathering.summary.firstProblem = gathering.summary.firstProblem ?? walk.problems.first
    }

    private func report(_ progress: PathAnswer.Progress) {
        guard progress.files.isMultiple(of: Self.progressStride) else { return }
        let now = clock.now
        guard now - lastProgress >= Self.progressPause else { return }
        lastProgress = now
        emit(.progress(progress))
    }

    /// What of a file changes when it does. Summed up over a tree, in any order.
    private static func mark(_ status: FileStatus) -> UInt64 {
        var hash: UInt64 = 0x9E37_79B9_7F4A_7C15
        for word in [
            status.inode, UInt64(bitPattern: status.changedNanoseconds), status.bytes, status.allocatedBytes,
        ] {
            // The finishing steps of SplitMix64.
            hash = (hash ^ word) &* 0xBF58_476D_1CE4_E5B9
            hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
            hash ^= hash >> 31
        }
        return hash
    }

    /// Where a file's data lies.
    struct Content {
        /// In the order of the file.
        var ranges: [Range<UInt64>] = []
        var unplacedBytes: UInt64 = 0
    }

    /// - Parameter bytes: the file's length.
    func content(of file: OpenFile, bytes: UInt64) throws(Errno) -> Content {
        var extents = try FileExtents.extents(of: file, syncs: false)
        // What is reserved may be written to in memory alone, too.
        if question.writesOut != .nothing, extents.contains(where: { $0.isDelayed || $0.isUnwritten }) {
            extents = try FileExtents.extents(of: file, syncs: true)
        }
        let pageBytes = UInt64(sysconf(CInt(_SC_PAGESIZE)))
        // A filesystem may have set more aside than there is: xfs does behind the file's end.
        let end = (bytes + pageBytes - 1) / pageBytes * pageBytes
        return extents.reduce(into: Content()) { content, extent in
            if extent.isDelayed {
                let last = min(end, extent.logical + extent.length)
                content.unplacedBytes += last > extent.logical ? last - extent.logical : 0
            } else if extent.hasLocation, !extent.isUnwritten {
                content.ranges.append(extent.range)
            }
        }
    }

    private func metadata(
        of root: Root,
        isWhole: Bool
    ) throws(PathAnswer.Failure) -> any FilesystemMetadata {
        do throws(Errno) {
            switch question.filesystem {
            case .ext4: return try Ext4Metadata(devicePath: question.devicePath, isWhole: isWhole)
            case .xfs: return try XFSMetadata(devicePath: question.devicePath, isWhole: isWhole)
            case .none: throw Errno.notSupported
            }
        } catch {
            throw PathAnswer.Failure(
                kind: .failed,
                message: "The metadata of \(question.mountPoint) cannot be read: \(error)."
            )
        }
    }
}

extension FileExtents.Extent {
    /// Where it lies.
    var range: Range<UInt64> { physical..<physical + length }
}
