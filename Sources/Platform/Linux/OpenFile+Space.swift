internal import CLinux
import Glibc

/// Sparse files: holes, clones and copies of ranges. Offsets and lengths are bytes.
extension OpenFile {
    /// Gives a range back to the filesystem; it reads as zeros from now on, and the file's length stays.
    ///
    /// Durable only after the next `datasync`. Blocks that the range covers in part are zeroed, not freed.
    ///
    /// - Throws: `Errno.notSupported` where the filesystem has no holes.
    package func punchHole(at offset: UInt64, length: UInt64) throws(Errno) {
        guard length > 0 else { return }
        try shimCall { CLinux_punch_hole(descriptor, Int64(offset), Int64(length)) }
    }

    /// Reserves the space of a range, so that a later write into it cannot meet `noSpace`; the length stays.
    package func allocate(at offset: UInt64, length: UInt64) throws(Errno) {
        guard length > 0 else { return }
        try shimCall { CLinux_allocate(descriptor, Int64(offset), Int64(length)) }
    }

    /// The bytes that the file takes on its filesystem, holes not counted.
    ///
    /// Filesystems that allocate late (ext4, xfs) count new data only once it is being written out.
    package func allocatedBytes() throws(Errno) -> UInt64 {
        try status().allocatedBytes
    }

    /// The start of the first data at or behind `offset`, or nil when there is none to the file's end.
    package func seekData(from offset: UInt64) throws(Errno) -> UInt64? {
        do {
            return UInt64(try shimCall { CLinux_seek_data(descriptor, Int64(offset)) })
        } catch .noSuchAddressOrDevice {
            return nil
        }
    }

    /// The start of the first hole at or behind `offset`; the file's end counts as one. Nil behind the end.
    package func seekHole(from offset: UInt64) throws(Errno) -> UInt64? {
        do {
            return UInt64(try shimCall { CLinux_seek_hole(descriptor, Int64(offset)) })
        } catch .noSuchAddressOrDevice {
            return nil
        }
    }

    /// Lets a range of this file share the blocks of a range of another one (`FICLONERANGE`), without copying.
    ///
    /// - Parameters:
    ///   - source: a file on the same filesystem.
    ///   - length: a multiple of the filesystem's block size, as both offsets are.
    /// - Returns: false when this filesystem cannot do it; then nothing has changed, and `copyRange` is the way.
    package func cloneRange(
        from source: OpenFile,
        at sourceOffset: UInt64,
        to targetOffset: UInt64,
        length: UInt64
    ) throws(Errno) -> Bool {
        do {
            try shimCall {
                CLinux_clone_range(descriptor, source.descriptor, sourceOffset, length, targetOffset)
            }
            return true
        } catch {
            switch error {
            case .notSupported, .improperLink, .invalidArgument, .inappropriateIOCTLForDevice, .noFunction:
                return false
            default:
                throw error
            }
        }
    }

    /// Copies a range from another file into this one: inside the kernel where it can (`copy_file_range`), through a
    /// buffer where not. Holes of the source may become zeros that take space.
    ///
    /// - Throws: `Errno.noData` when the source ends before the range does; the part before is copied.
    package func copyRange(
        from source: OpenFile,
        at sourceOffset: UInt64,
        to targetOffset: UInt64,
        length: UInt64
    ) throws(Errno) {
        var done: UInt64 = 0
        while done < length {
            let from = Int64(sourceOffset + done)
            let to = Int64(targetOffset + done)
            let wanted = Int(min(length - done, 1 << 30))
            let count: Int64
            do {
                count = try shimCall { CLinux_copy_range(source.descriptor, from, descriptor, to, wanted) }
            } catch {
                switch error {
                case .improperLink, .invalidArgument, .noFunction, .notSupported:
                    return try copyThroughBuffer(
                        from: source,
                        at: sourceOffset + done,
                        to: targetOffset + done,
                        length: length - done
                    )
                default:
                    throw error
                }
            }
            guard count > 0 else { throw .noData }
            done += UInt64(count)
        }
    }

    /// Tells the kernel that the pages of a range will not be needed; pages that are dirty stay.
    ///
    /// - Parameter length: bytes; 0 means to the end of the file.
    package func adviseDontNeed(at offset: UInt64, length: UInt64) throws(Errno) {
        let answer = posix_fadvise(descriptor, off_t(offset), off_t(length), POSIX_FADV_DONTNEED)
        guard answer == 0 else { throw Errno(rawValue: answer) }
    }

    private func copyThroughBuffer(
        from source: OpenFile,
        at sourceOffset: UInt64,
        to targetOffset: UInt64,
        length: UInt64
    ) throws(Errno) {
        // Large enough that the calls do not count, small enough for any cache.
        let step: UInt64 = 1 << 20
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(min(step, length)), alignment: 4096)
        defer { buffer.deallocate() }
        var done: UInt64 = 0
        while done < length {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(step, length - done))])
            try source.preadAll(into: part, at: sourceOffset + done)
            try pwriteAll(UnsafeRawBufferPointer(part), at: targetOffset + done)
            done += UInt64(part.count)
        }
    }
}
