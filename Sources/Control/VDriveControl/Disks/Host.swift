import Glibc
package import Linux
import Logging
import VDriveEngine
import VDriveFuse
import VDriveHost
import VDriveProtocol

/// What the attach sequence asks of the machine. Everything blocks, so everything runs on threads of its own, never on
/// the cooperative pool where the engine serves the very requests that a mkfs or a mount waits for.
package struct Host: Sendable {
    /// An unmount right after the last user went may still find the kernel busy with its farewell.
    private static let refuseSeconds = 2
    /// How long a shutdown waits for those who use a disk.
    private static let detachSeconds = 5
    private static let syncSecondsMax = 24 * 3600
    private static let imageName = "disk.img"
    /// How far the kernel reads ahead on the loop device, beside the engine's own read-ahead.
    private static let readAheadKibibytes = 4096

    private let threads: BlockingThreads

    package init(threads: BlockingThreads) {
        self.threads = threads
    }

    func pause(milliseconds: UInt32) async {
        await threads.run { _ = usleep(milliseconds * 1000) }
    }

    /// Makes an error of the host one of the protocol.
    private func asking<Answer>(
        _ body: () async throws(HostError) -> Answer
    ) async throws(RPCError) -> Answer {
        do throws(HostError) {
            return try await body()
        } catch {
            throw RPCError(error)
        }
    }

    /// Runs what reads and writes files of this machine.
    func run<Answer: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Answer
    ) async throws(Failure) -> Answer {
        try await threads.run(body)
    }

    // MARK: Folders

    func makeFolder(_ path: String, mode: mode_t) async throws(RPCError) {
        try await threads.run { () throws(RPCError) in
            do throws(Errno) {
                try Directory.createAll(path, mode: mode)
            } catch {
                throw RPCError(.fixConfiguration, "The folder \(path) cannot be made: \(error).")
            }
        }
    }

    /// The device that a file lies on, and the one that it stands for; nil when it cannot be seen.
    func devices(of path: String) async -> (on: UInt64, standsFor: UInt64)? {
        await threads.run {
            guard let status = try? FileStatus.of(path) else { return nil }
            return (status.device, status.specialDevice)
        }
    }

    // MARK: The image

    /// Checks that the machine has what an attach needs.
    func check(for filesystem: FilesystemChoice?) async throws(RPCError) {
        let wanted = (filesystem ?? .ext4).filesystem
        let problems = await threads.run { HostCheck.problems(filesystem: wanted) }
        if let problem = problems.first { throw RPCError(.fixConfiguration, problem) }
    }

    /// Takes away what a dead daemon left mounted at the image's folder and above it, and makes the folder.
    func cleanStale(fuseDirectory: String, logger: Logger) async throws(RPCError) {
        let stale = StaleMounts(fuseFolder: fuseDirectory, imageName: Self.imageName)
        let report = try await asking { () throws(HostError) in try await stale.clean(on: threads) }
        if !report.isEmpty {
            logger.notice(
                "cleaned what a dead daemon left",
                metadata: [
                    "unmounted": "\(report.unmounted)", "detached": "\(report.detached)",
                    "lingering": "\(report.lingering)",
                ]
            )
        }
        try await makeFolder(fuseDirectory, mode: 0o755)
    }

    func mountImage(at directory: String, disk: Disk, name: DiskName) async throws(RPCError) -> FuseSession {
        try await threads.run { () throws(RPCError) in
            do throws(FuseError) {
                return try FuseSession.mount(
                    at: directory,
                    dataPlane: disk.dataPlane,
                    diskName: name.text,
                    isReadOnly: disk.isReadOnly
                )
            } catch {
                throw RPCError(.fixConfiguration, error.message)
            }
        }
    }

    /// Takes a bare image out of the tree, unless somebody uses it.
    func releaseImage(_ fuse: FuseSession) async throws(RPCError) {
        try await unmount(fuse.directory)
    }

    /// Ends the session; by now the kernel may have unmounted it already.
    func unmountImage(_ fuse: FuseSession) async {
        await threads.run {
            fuse.unmount()
            try? Directory.removeEmpty(fuse.directory)
        }
    }

    // MARK: The volume

    func attachLoop(image: String, isReadOnly: Bool) async throws(RPCError) -> LoopDevice {
        try await asking { () throws(HostError) in
            let loop = try await LoopDevice.attach(backingFile: image, isReadOnly: isReadOnly, on: threads)
            // Tuning is for speed alone: a kernel that refuses it still serves.
            try? await threads.run { () throws(HostError) in
                try loop.setReadAhead(kibibytes: Self.readAheadKibibytes)
                try loop.tuneQueue()
            }
            return loop
        }
    }

    func detachLoop(_ loop: LoopDevice) async throws(RPCError) {
        try await asking { () throws(HostError) in try await loop.detach(on: threads) }
    }

    /// Finds the filesystem on a device, or makes one where nothing at all is.
    ///
    /// - Parameter wanted: nil takes what is there, or ext4.
    /// - Throws: `refused` when something else is there: nothing is ever formatted over.
    func prepareFilesystem(
        on loop: LoopDevice,
        wanted: FilesystemChoice?,
        name: DiskName,
        isReadOnly: Bool
    ) async throws(RPCError) -> FilesystemChoice {
        try await asking { () throws(HostError) in
            let content = try await Filesystem.detect(loop, on: threads)
            if content == .empty, !isReadOnly {
                let choice = wanted ?? .ext4
                try await choice.filesystem.format(loop, name: name.text, on: threads)
                return choice
            }
            if case .filesystem(let type, _) = content, let found = FilesystemChoice(rawValue: type),
                wanted == nil || wanted == found
            {
                return found
            }
            if content == .empty {
                throw HostError(
                    .notEmpty(content),
                    "The disk \(name) holds no filesystem yet, and read-only none is made; attach it with the "
                        + "filesystem none for the bare image, or to be written."
                )
            }
            throw HostError(
                .notEmpty(content),
                "The disk \(name) holds \(content), which is never formatted over; "
                    + "attach it with that filesystem, or with none for the bare image."
            )
        }
    }

    func mount(
        _ loop: LoopDevice,
        filesystem: FilesystemChoice,
        at path: String,
        isReadOnly: Bool
    ) async throws(RPCError) {
        try await asking { () throws(HostError) in
            try await MountPoint(path).mount(
                loop,
                as: filesystem.filesystem,
                isReadOnly: isReadOnly,
                on: threads
            )
        }
    }

    /// Unmounts what is at the path; nothing there is no error.
    ///
    /// - Throws: `busy` when somebody uses it.
    func unmount(_ path: String) async throws(RPCError) {
        try await asking { () throws(HostError) in
            try await MountPoint(path).unmount(whenBusy: .refuse(afterSeconds: Self.refuseSeconds), on: threads)
        }
    }

    /// Unmounts; what is still in use after a few seconds is taken out of the tree and goes when its users do.
    func forceUnmount(_ path: String) async throws(RPCError) {
        try? await syncFilesystem(at: path)
        try await asking { () throws(HostError) in
            try await MountPoint(path).unmount(whenBusy: .detach(afterSeconds: Self.detachSeconds), on: threads)
        }
    }

    /// Writes out what a filesystem holds in the page cache. A program of its own waits for the disk, which may wait
    /// for its remote for hours.
    func syncFilesystem(at path: String) async throws(RPCError) {
        let result: SubprocessResult
        do throws(SubprocessError) {
            result = try await Subprocess.run(
                ["sync", "-f", path],
                timeoutSeconds: Self.syncSecondsMax,
                on: threads
            )
        } catch {
            throw RPCError(.internal, "\(path) cannot be written out: \(error).")
        }
        guard result.isSuccess else {
            throw RPCError(.internal, "\(path) cannot be written out: \(result.lastLine)")
        }
    }
}

extension FilesystemChoice {
    var filesystem: Filesystem {
        switch self {
        case .ext4: .ext4
        case .xfs: .xfs
        case .none: .none
        }
    }
}

extension RPCError {
    init(_ error: HostError) {
        let code: ErrorCode =
            switch error.kind {
            case .busy: .busy
            case .missing: .fixConfiguration
            case .notEmpty: .refused
            case .unsuitable: .invalidParams
            case .failed: .internal
            }
        self.init(code, error.message)
    }
}
