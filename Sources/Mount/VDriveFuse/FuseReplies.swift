internal import CFuse
internal import Glibc
internal import VDriveDataPlane

/// How replies reach the kernel. Every function may be called from any thread, once a request.
enum FuseReplies {
    /// Below this a copy through memory is cheaper than a pipe, and libfuse's own fallback would call malloc.
    static let spliceBytesMin = Int(CFUSE_SMALL_REPLY_BYTES) + 1

    /// SAFETY: written once, before any thread reads it, and never changed.
    nonisolated(unsafe) static let table: UnsafePointer<ReplyTable> = {
        let table = UnsafeMutablePointer<ReplyTable>.allocate(capacity: 1)
        table.initialize(
            to: ReplyTable(
                bytes: { request, bytes, count in
                    fuse_reply_buf(OpaquePointer(request), bytes.assumingMemoryBound(to: CChar.self), count)
                },
                file: { request, descriptor, position, count in
                    FuseReplies.file(OpaquePointer(request), descriptor, position, count)
                },
                wrote: { request, count in fuse_reply_write(OpaquePointer(request), count) },
                offset: { request, offset in fuse_reply_lseek(OpaquePointer(request), off_t(offset)) },
                error: { request, code in fuse_reply_err(OpaquePointer(request), code) }
            )
        )
        return UnsafePointer(table)
    }()

    /// Answers a read from a file: by copy when it is small, by splice when it is not.
    @inline(__always)
    static func file(_ request: fuse_req_t?, _ descriptor: CInt, _ position: UInt64, _ count: Int) {
        if count < spliceBytesMin {
            let buffer = CFuse_thread_buffer()!
            var done = 0
            while done < count {
                let got = pread(descriptor, buffer + done, count - done, off_t(position) + off_t(done))
                if got > 0 { done += got } else if got == 0 || errno != EINTR { break }
            }
            // The cache file always covers the whole disk: an early end is an error of the device below.
            if done < count {
                FuseOperations.withSession(request) { $0.dataPlane.counters.noteReadError() }
                fuse_reply_err(request, EIO)
            } else {
                reply(request, buffer, count)
            }
            return
        }
        var vector = fuse_bufvec()
        vector.count = 1
        vector.buf.size = count
        vector.buf.flags = fuse_buf_flags(rawValue: FUSE_BUF_IS_FD.rawValue | FUSE_BUF_FD_SEEK.rawValue)
        vector.buf.fd = descriptor
        vector.buf.pos = off_t(position)
        // No FUSE_BUF_SPLICE_MOVE: the pages stay in the cache file.
        fuse_reply_data(request, &vector, fuse_buf_copy_flags(rawValue: 0))
    }

    private static func reply(_ request: fuse_req_t?, _ buffer: UnsafeMutableRawPointer, _ count: Int) {
        fuse_reply_buf(request, buffer.assumingMemoryBound(to: CChar.self), count)
    }

    /// A megabyte of zeros for unallocated ranges.
    ///
    /// SAFETY: never written.
    nonisolated(unsafe) static let zeros: UnsafeRawPointer = {
        let bytes = DataPlaneLimits.requestBytesMax
        return UnsafeRawPointer(mmap(nil, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!)
    }()
}
