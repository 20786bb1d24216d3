internal import CFuse
internal import Glibc
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveMeasure
internal import VDriveModel

/// Writes, flushes and punches on a FUSE thread. Only a write to a chunk that is dirty already is answered here.
enum WritePath {
    @inline(__always)
    static func write(_ request: fuse_req_t?, _ vector: UnsafeMutablePointer<fuse_bufvec>, _ offset: off_t) {
        FuseOperations.withSession(request) { session in
            let plane = session.dataPlane
            let size = fuse_buf_size(vector)
            let disk = off_t(plane.geometry.diskBytes)
            guard offset < disk else {
                fuse_reply_err(request, EFBIG)
                return
            }
            let count = min(size, Int(disk - offset))
            guard count > 0 else {
                fuse_reply_write(request, 0)
                return
            }
            let isMemory =
                vector.pointee.count == 1 && vector.pointee.buf.flags.rawValue & FUSE_BUF_IS_FD.rawValue == 0
            if isMemory {
                let bytes = UnsafeRawBufferPointer(start: vector.pointee.buf.mem, count: count)
                let timer = plane.counters.timeWrite()
                if plane.write(offset: UInt64(offset), bytes: bytes) {
                    fuse_reply_write(request, count)
                    plane.counters.noteWriteHit(bytes: count, timer)
                    return
                }
            }
            handOver(request, plane, vector, offset: offset, count: count)
        }
    }

    /// Copies the bytes, because libfuse reuses its buffer as soon as the callback returns.
    private static func handOver(
        _ request: fuse_req_t?,
        _ plane: DataPlane,
        _ vector: UnsafeMutablePointer<fuse_bufvec>,
        offset: off_t,
        count: Int
    ) {
        // The wait for a buffer is the guest's too.
        let start = MonotonicTime.nanoseconds
        let code = plane.writeErrno.load(ordering: .relaxed)
        guard code == 0 else {
            fuse_reply_err(request, code)
            plane.counters.noteWriteMiss(bytes: nil, since: start)
            return
        }
        let buffer = plane.buffers.lease(for: count)
        var target = fuse_bufvec()
        target.count = 1
        target.buf.size = count
        target.buf.mem = buffer.memory.baseAddress
        let copied = fuse_buf_copy(&target, vector, fuse_buf_copy_flags(rawValue: 0))
        guard copied == count else {
            fuse_reply_err(request, copied < 0 ? CInt(-copied) : EIO)
            plane.counters.noteWriteMiss(bytes: nil, since: start)
            return
        }
        ReadPath.submit(request, plane, .write(offset: UInt64(offset), count: count, buffer: buffer), since: start)
    }

    static func flush(_ request: fuse_req_t?) {
        FuseOperations.withSession(request) { ReadPath.submit(request, $0.dataPlane, .flush) }
    }

    /// The kernel calls it flush, and sends it at every close of a descriptor.
    static func close(_ request: fuse_req_t?) {
        FuseOperations.withSession(request) { ReadPath.submit(request, $0.dataPlane, .close) }
    }

    /// Hole punching and zeroing give space back; a thin disk has none to reserve.
    static func allocate(_ request: fuse_req_t?, mode: CInt, offset: off_t, length: off_t) {
        FuseOperations.withSession(request) { session in
            let plane = session.dataPlane
            let disk = off_t(plane.geometry.diskBytes)
            let known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE
            guard mode & ~known == 0, mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) != 0 else {
                fuse_reply_err(request, EOPNOTSUPP)
                return
            }
            guard offset >= 0, length > 0 else {
                fuse_reply_err(request, EINVAL)
                return
            }
            let count = offset >= disk ? 0 : min(length, disk - offset)
            let refusal = plane.writeErrno.load(ordering: .relaxed)
            guard count > 0, refusal == 0 else {
                if refusal != 0 { plane.counters.noteTrim(bytes: nil) }
                fuse_reply_err(request, refusal != 0 ? refusal : (mode & FALLOC_FL_KEEP_SIZE != 0 ? 0 : EFBIG))
                return
            }
            ReadPath.submit(request, plane, .deallocate(offset: UInt64(offset), count: UInt64(count)))
        }
    }
}
