internal import CFuse
internal import Glibc
internal import Linux
internal import Synchronization
package import VDriveDataPlane

/// Why a disk could not be served over FUSE; one sentence.
package struct FuseError: Error, Sendable, CustomStringConvertible {
    package let message: String
    package var description: String { message }
}

/// One FUSE mount with one file, `disk.img`, served by libfuse's own threads.
///
/// ## Notes on the design
/// This module knows the data plane and nothing above it: a callback can pin a chunk, do the I/O, or put a request on
/// the ring; it cannot name an actor. The session object outlives its threads; callbacks reach it through the request's
/// user data without retaining it.
package final class FuseSession: @unchecked Sendable {
    // SAFETY: `session` and `thread` are set in `mount` before the threads start and read in `unmount` after; the rest
    // is constant.
    let dataPlane: DataPlane
    let mountedAt: timespec
    package let directory: String
    package var imagePath: String { "\(directory)/\(ImageNode.imageName)" }
    private var session: OpaquePointer?
    private var thread: NamedThread?
    private let ended = Atomic<Bool>(false)

    private init(directory: String, dataPlane: DataPlane) {
        self.directory = directory
        self.dataPlane = dataPlane
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        mountedAt = now
    }

    /// Mounts, and starts the threads that serve. Blocks for the moment that mounting takes.
    ///
    /// - Parameter directory: an empty folder.
    package static func mount(
        at directory: String,
        dataPlane: DataPlane,
        diskName: String,
        isReadOnly: Bool
    ) throws(FuseError) -> FuseSession {
        let made = FuseSession(directory: directory, dataPlane: dataPlane)
        let options =
            "fsname=vdrive:\(diskName),subtype=vdrive,allow_other,default_permissions,noatime,"
            + "max_read=\(DataPlaneLimits.requestBytesMax)\(isReadOnly ? ",ro" : "")"
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("vdrived"), strdup("-o"), strdup(options)]
        defer { for word in words { free(word) } }
        let session = words.withUnsafeMutableBufferPointer { words -> OpaquePointer? in
            var arguments = fuse_args(argc: CInt(words.count), argv: words.baseAddress, allocated: 0)
            defer { fuse_opt_free_args(&arguments) }
            var operations = FuseOperations.table
            let size = MemoryLayout<fuse_lowlevel_ops>.size
            return fuse_session_new(&arguments, &operations, size, Unmanaged.passUnretained(made).toOpaque())
        }
        guard let session else { throw FuseError(message: "libfuse refused to start a session; is fuse3 installed?") }
        guard fuse_session_mount(session, directory) == 0 else {
            fuse_session_destroy(session)
            throw FuseError(message: "Mounting at \(directory) failed; is /dev/fuse there, and vdrived run as root?")
        }
        made.session = session
        // The thread holds the session until `unmount` joins it.
        made.thread = NamedThread.start("vdrive-fuse") { made.serve() }
        return made
    }

    private func serve() {
        let configuration = fuse_loop_cfg_create()
        fuse_loop_cfg_set_clone_fd(configuration, 1)
        fuse_loop_cfg_set_max_threads(configuration, FuseLimits.threads)
        // Threads stay: starting one costs more than keeping it.
        fuse_loop_cfg_set_idle_threads(configuration, FuseLimits.threads)
        fuse_session_loop_mt(session, configuration)
        fuse_loop_cfg_destroy(configuration)
        ended.store(true, ordering: .releasing)
    }

    /// Whether the threads have ended: somebody unmounted it from outside, or the kernel aborted the connection.
    package var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Unmounts, waits for the threads, and frees what libfuse holds. Blocks until the last request was answered; call
    /// it once, from a thread that may block, while the engine still serves.
    package func unmount() {
        guard let session else { return }
        fuse_session_exit(session)
        fuse_session_unmount(session)
        thread?.join()
        fuse_session_destroy(session)
        self.session = nil
    }
}

enum FuseLimits {
    /// Hits are served by these; two cores are busy with four, the others wait in cold reads of the cache's disk.
    static let threads: CUnsignedInt = 10
}
