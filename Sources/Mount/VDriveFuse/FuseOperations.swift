internal import CFuse
internal import Glibc
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// The table of callbacks, all visible at once. What is not in it, libfuse answers with ENOSYS; what would change the
/// mount's one folder is EPERM.
enum FuseOperations {
    static let table: fuse_lowlevel_ops = {
        var table = fuse_lowlevel_ops()
        table.`init` = initialize
        table.lookup = lookup
        table.forget = { request, _, _ in fuse_reply_none(request) }
        table.getattr = { request, node, _ in attributes(request, node) }
        table.setattr = setAttributes
        table.open = open
        table.release = { request, _, _ in fuse_reply_err(request, 0) }
        table.read = { request, _, count, offset, _ in ReadPath.read(request, offset, count) }
        table.write_buf = { request, _, vector, offset, _ in WritePath.write(request, vector!, offset) }
        table.flush = { request, _, _ in WritePath.close(request) }
        table.fsync = { request, _, _, _ in WritePath.flush(request) }
        table.fallocate = { request, _, mode, offset, length, _ in
            WritePath.allocate(request, mode: mode, offset: offset, length: length)
        }
        table.lseek = { request, _, offset, whence, _ in ReadPath.seek(request, offset, whence) }
        table.opendir = { request, _, info in fuse_reply_open(request, info) }
        table.readdir = readDirectory
        table.statfs = statistics
        table.mknod = { request, _, _, _, _ in fuse_reply_err(request, EPERM) }
        table.create = { request, _, _, _, _ in fuse_reply_err(request, EPERM) }
        table.mkdir = { request, _, _, _ in fuse_reply_err(request, EPERM) }
        table.symlink = { request, _, _, _ in fuse_reply_err(request, EPERM) }
        table.link = { request, _, _, _ in fuse_reply_err(request, EPERM) }
        table.unlink = { request, _, _ in fuse_reply_err(request, EPERM) }
        table.rmdir = { request, _, _ in fuse_reply_err(request, EPERM) }
        table.rename = { request, _, _, _, _, _ in fuse_reply_err(request, EPERM) }
        return table
    }()

    /// The session of a request, without a retain.
    @inline(__always)
    static func withSession<Result>(_ request: fuse_req_t?, _ body: (FuseSession) -> Result) -> Result {
        // SAFETY: the session outlives its threads: `serve` holds a reference for as long as callbacks can come.
        Unmanaged<FuseSession>.fromOpaque(fuse_req_userdata(request)!)._withUnsafeGuaranteedRef { body($0) }
    }

    private static let initialize:
        @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<fuse_conn_info>?) -> Void = {
            _,
            connection in
            guard let connection else { return }
            func wish(_ capability: Int32, _ wanted: Bool) {
                let bit = UInt32(bitPattern: capability)
                if wanted, connection.pointee.capable & bit != 0 {
                    connection.pointee.want |= bit
                } else {
                    connection.pointee.want &= ~bit
                }
            }
            wish(FUSE_CAP_ASYNC_DIO, true)
            wish(FUSE_CAP_ASYNC_READ, true)
            wish(FUSE_CAP_PARALLEL_DIROPS, true)
            wish(FUSE_CAP_SPLICE_WRITE, true)
            // Requests are read into memory: most writes are small, and the engine needs the bytes, not a pipe.
            wish(FUSE_CAP_SPLICE_READ, false)
            wish(FUSE_CAP_WRITEBACK_CACHE, false)
            connection.pointee.max_write = UInt32(DataPlaneLimits.requestBytesMax)
            connection.pointee.max_read = UInt32(DataPlaneLimits.requestBytesMax)
            connection.pointee.max_background = UInt32(DataPlaneLimits.fuseBackground)
            connection.pointee.congestion_threshold = UInt32(DataPlaneLimits.fuseBackground * 3 / 4)
        }

    private static let lookup: @convention(c) (fuse_req_t?, fuse_ino_t, UnsafePointer<CChar>?) -> Void = {
        request,
        parent,
        name in
        guard parent == ImageNode.root, let name, String(cString: name) == ImageNode.imageName else {
            fuse_reply_err(request, ENOENT)
            return
        }
        withSession(request) { session in
            var entry = fuse_entry_param()
            entry.ino = ImageNode.image
            entry.entry_timeout = ImageNode.entrySeconds
            entry.attr_timeout = ImageNode.attributeSeconds
            entry.attr = ImageNode.attributes(
                of: ImageNode.image,
                dataPlane: session.dataPlane,
                mountedAt: session.mountedAt
            )!
            fuse_reply_entry(request, &entry)
        }
    }

    private static func attributes(_ request: fuse_req_t?, _ node: fuse_ino_t) {
        withSession(request) { session in
            guard
                var attributes = ImageNode.attributes(
                    of: node,
                    dataPlane: session.dataPlane,
                    mountedAt: session.mountedAt
                )
            else {
                fuse_reply_err(request, ENOENT)
                return
            }
            fuse_reply_attr(request, &attributes, ImageNode.attributeSeconds)
        }
    }

    /// Times may be set (and are forgotten); a disk has neither another size nor another owner.
    private static let setAttributes:
        @convention(c) (
            fuse_req_t?, fuse_ino_t, UnsafeMutablePointer<stat>?, CInt, UnsafeMutablePointer<fuse_file_info>?
        ) -> Void = { request, node, wanted, mask, _ in
            withSession(request) { session in
                let isSameSize =
                    mask & FUSE_SET_ATTR_SIZE == 0 || wanted!.pointee.st_size == session.dataPlane.geometry.diskBytes
                let owner = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID
                if !isSameSize || mask & owner != 0 {
                    fuse_reply_err(request, EPERM)
                } else {
                    attributes(request, node)
                }
            }
        }

    private static let open: @convention(c) (fuse_req_t?, fuse_ino_t, UnsafeMutablePointer<fuse_file_info>?) -> Void = {
        request,
        node,
        _ in
        guard node == ImageNode.image else {
            fuse_reply_err(request, EISDIR)
            return
        }
        // Direct I/O keeps the kernel's page cache out of the way: ext4 on the loop device has one of its own.
        let flags = UInt32(FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)
        _ = CFuse_reply_open(request, 0, flags)
    }

    private static let readDirectory:
        @convention(c) (fuse_req_t?, fuse_ino_t, Int, off_t, UnsafeMutablePointer<fuse_file_info>?) -> Void = {
            request,
            node,
            size,
            offset,
            _ in
            guard node == ImageNode.root else {
                fuse_reply_err(request, ENOTDIR)
                return
            }
            let entries = [(".", ImageNode.root), ("..", ImageNode.root), (ImageNode.imageName, ImageNode.image)]
            withUnsafeTemporaryAllocation(byteCount: min(size, 4096), alignment: 8) { buffer in
                let memory = buffer.bindMemory(to: CChar.self)
                var used = 0
                for (index, entry) in entries.enumerated().dropFirst(Int(offset)) {
                    var attributes = stat()
                    attributes.st_ino = ino_t(entry.1)
                    attributes.st_mode = entry.1 == ImageNode.root ? S_IFDIR : S_IFREG
                    let room = memory.count - used
                    let need = fuse_add_direntry(
                        request,
                        memory.baseAddress! + used,
                        room,
                        entry.0,
                        &attributes,
                        off_t(index + 1)
                    )
                    if need > room { break }
                    used += need
                }
                fuse_reply_buf(request, memory.baseAddress!, used)
            }
        }

    /// The loop device takes its discard granularity from the block size: one page.
    private static let statistics: @convention(c) (fuse_req_t?, fuse_ino_t) -> Void = { request, _ in
        withSession(request) { session in
            let total = session.dataPlane.geometry.diskBytes
            let used = min(total, session.dataPlane.counters.allocatedBytes.load(ordering: .relaxed))
            var answer = statvfs()
            answer.f_bsize = 4096
            answer.f_frsize = 4096
            answer.f_blocks = fsblkcnt_t(total / 4096)
            answer.f_bfree = fsblkcnt_t((total - used) / 4096)
            answer.f_bavail = answer.f_bfree
            answer.f_files = 1
            answer.f_namemax = 255
            fuse_reply_statfs(request, &answer)
        }
    }
}
