internal import CLinux
package import Glibc

/// One open file, device or directory; closed when the last reference goes.
///
/// Offsets and lengths are bytes. Every method may be called from any thread, at the same time as others; all of them
/// block, so they belong on FUSE threads, `BlockingThreads` or a `ThreadExecutor`, never on Swift's cooperative pool.
/// Calls that a signal interrupts are made again. EBADF and EFAULT, which can only be our own bug, trap.
package final class OpenFile: Sendable {
    /// Valid for as long as the object lives; not to be closed by others.
    package let descriptor: CInt

    /// Takes over a descriptor, which is closed with the object.
    package init(owning descriptor: CInt) {
        precondition(descriptor >= 0, "not a descriptor: \(descriptor)")
        self.descriptor = descriptor
    }

    deinit {
        // On Linux the descriptor is gone even when close is interrupted: never again.
        _ = close(descriptor)
    }

    /// Opens a file; the corresponding C function is `open`.
    ///
    /// - Parameters:
    ///   - flags: `O_RDWR | O_CREAT` and so on; `O_CLOEXEC` is always added.
    ///   - mode: of a file that is created, before the umask.
    package static func open(_ path: String, flags: CInt, mode: mode_t = 0o600) throws(Errno) -> OpenFile {
        OpenFile(owning: try systemCall { Glibc.open(path, flags | O_CLOEXEC, mode) })
    }

    /// Reads once; fewer bytes than asked for come only at the end of the file, or from a device.
    ///
    /// - Returns: the number of bytes read, 0 at the end of the file.
    package func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) -> Int {
        try systemCall { Glibc.pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    /// Fills the whole buffer.
    ///
    /// - Throws: `Errno.noData` when the file ends before the buffer is full.
    package func preadAll(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Errno) {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = try pread(into: rest, at: offset + UInt64(done))
            guard count > 0 else { throw .noData }
            done += count
        }
    }

    /// Reads `count` bytes as an array.
    ///
    /// - Throws: `Errno.noData` when the file ends before.
    package func preadAll(count: Int, at offset: UInt64) throws(Errno) -> [UInt8] {
        var failure: Errno?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(Errno) {
                try preadAll(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
                filled = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Reads from where the file stands to its end; also from a pipe.
    package func readToEnd() throws(Errno) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let filled = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: 64 * 1024))
            let count = try systemCall {
                bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + filled, $0.count - filled) }
            }
            bytes.removeLast(bytes.count - filled - count)
            if count == 0 { return bytes }
        }
    }

    /// Writes the whole buffer.
    ///
    /// - Throws: for example `Errno.noSpace`; then any part of the buffer may have been written.
    package func pwriteAll(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) {
        var done = 0
        while done < buffer.count {
            done += try systemCall {
                Glibc.pwrite(
                    descriptor,
                    buffer.baseAddress! + done,
                    buffer.count - done,
                    off_t(offset) + off_t(done)
                )
            }
        }
    }

    /// Writes all the bytes of an array.
    package func pwriteAll(_ bytes: [UInt8], at offset: UInt64) throws(Errno) {
        // withUnsafeBytes of Array knows no typed errors.
        var failure: Errno?
        bytes.withUnsafeBytes { buffer in
            do throws(Errno) { try pwriteAll(buffer, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Makes the bytes, and what is needed to find them, durable: `fdatasync`.
    ///
    /// - Throws: after a failure the kernel may have dropped the pages that it could not write, and says so only once:
    ///   what was written since the last success must be taken as lost.
    package func datasync() throws(Errno) {
        try systemCall { fdatasync(descriptor) }
    }

    /// Makes bytes and all attributes durable: `fsync`; see `datasync` for what a failure means.
    package func sync() throws(Errno) {
        try systemCall { fsync(descriptor) }
    }

    /// Writes out all that the filesystem of this file holds in memory: `syncfs`.
    package func syncFilesystem() throws(Errno) {
        try shimCall { CLinux_sync_filesystem(descriptor) }
    }

    /// Starts to write dirty pages of the page cache in the background, without waiting and without a promise.
    package func startWriteBack(at offset: UInt64, length: UInt64) throws(Errno) {
        try shimCall { CLinux_start_write_back(descriptor, Int64(offset), Int64(length)) }
    }

    /// Sets the length in bytes; what is added reads as zeros and takes no space.
    package func truncate(to length: UInt64) throws(Errno) {
        try systemCall { ftruncate(descriptor, off_t(length)) }
    }

    /// The length in bytes; of a block device, the size of the device.
    package func size() throws(Errno) -> UInt64 {
        let status = try status()
        guard status.kind == .blockDevice else { return status.bytes }
        var bytes: UInt64 = 0
        try shimCall { CLinux_block_size_bytes(descriptor, &bytes) }
        return bytes
    }

    /// What `fstat` says.
    package func status() throws(Errno) -> FileStatus {
        var raw = stat()
        try systemCall { fstat(descriptor, &raw) }
        return FileStatus(raw)
    }

    /// Takes an exclusive lock on the open file (`flock`), which ends when the file is closed or the process dies.
    ///
    /// - Returns: false when another open file holds it; this never waits.
    package func tryLock() throws(Errno) -> Bool {
        do {
            try systemCall { flock(descriptor, LOCK_EX | LOCK_NB) }
            return true
        } catch .wouldBlock {
            return false
        }
    }
}
