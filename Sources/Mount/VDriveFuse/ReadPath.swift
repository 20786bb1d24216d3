internal import CFuse
internal import Glibc
internal import VDriveDataPlane
internal import VDriveMeasure
internal import VDriveModel

/// Reads on a FUSE thread: hits are answered here, everything else goes over the ring.
enum ReadPath {
    @inline(__always)
    static func read(_ request: fuse_req_t?, _ offset: off_t, _ size: Int) {
        FuseOperations.withSession(request) { session in
            let plane = session.dataPlane
            let disk = off_t(plane.geometry.diskBytes)
            // Direct reads are not clipped by the kernel.
            let count = offset >= disk ? 0 : min(size, Int(disk - offset))
            guard count > 0 else {
                fuse_reply_buf(request, nil, 0)
                return
            }
            let timer = plane.counters.timeRead()
            switch plane.startRead(offset: UInt64(offset), count: count) {
            case .file(let descriptor, let position):
                FuseReplies.file(request, descriptor, position, count)
                plane.finishRead(offset: UInt64(offset), count: count)
                plane.counters.noteReadHit(bytes: count, timer)
            case .zeros:
                fuse_reply_buf(request, FuseReplies.zeros.assumingMemoryBound(to: CChar.self), count)
                plane.counters.noteReadHit(bytes: count, timer)
            case .miss:
                submit(request, plane, .read(offset: UInt64(offset), count: count))
            }
        }
    }

    static func seek(_ request: fuse_req_t?, _ offset: off_t, _ whence: CInt) {
        FuseOperations.withSession(request) { session in
            let plane = session.dataPlane
            guard whence == CFUSE_SEEK_DATA || whence == CFUSE_SEEK_HOLE else {
                fuse_reply_err(request, EINVAL)
                return
            }
            guard offset >= 0, offset < off_t(plane.geometry.diskBytes) else {
                fuse_reply_err(request, ENXIO)
                return
            }
            submit(request, plane, .seek(offset: UInt64(offset), data: whence == CFUSE_SEEK_DATA))
        }
    }

    /// Hands a request to the engine.
    static func submit(
        _ request: fuse_req_t?,
        _ plane: DataPlane,
        _ operation: Request.Operation,
        since start: UInt64 = MonotonicTime.nanoseconds
    ) {
        let reply = ReplyHandle(request: UnsafeMutableRawPointer(request!), table: FuseReplies.table)
        plane.ring.submit(Request(operation, reply: reply, since: start))
    }
}
