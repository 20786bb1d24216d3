internal import CLinux
import Glibc

/// Reads of a device past the page cache: what is there may be newer than what the page cache holds of the device, and
/// older than what a filesystem on it keeps in memory.
///
/// Belongs to one thread, and blocks.
// SAFETY: the buffer is this object's alone, at a fixed address for as long as it lives.
package final class DirectReads {
    private static let alignment = 4096
    private static let bufferBytes = 128 * 1024

    private let file: OpenFile
    private let buffer: UnsafeMutableRawBufferPointer

    package init(_ path: String) throws(Errno) {
        file = try OpenFile.open(path, flags: O_RDONLY | CLinux_direct_flag())
        buffer = .allocate(byteCount: Self.bufferBytes, alignment: Self.alignment)
    }

    deinit { buffer.deallocate() }

    /// - Parameter count: bytes, up to 64 KiB.
    package func read(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
        let start = offset / UInt64(Self.alignment) * UInt64(Self.alignment)
        let before = Int(offset - start)
        let whole = (before + count + Self.alignment - 1) / Self.alignment * Self.alignment
        guard count > 0, whole <= Self.bufferBytes else { throw .invalidArgument }
        try file.preadAll(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<whole]), at: start)
        return Array(buffer[before..<before + count])
    }
}
