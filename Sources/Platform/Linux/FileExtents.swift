internal import CLinux
import Glibc

/// Where the bytes of a file lie on its device (`FIEMAP`).
package enum FileExtents {
    package struct Extent: Hashable, Sendable {
        /// The offset in the file, in bytes.
        package let logical: UInt64
        /// The offset on the device, in bytes; no meaning where `hasLocation` is false.
        package let physical: UInt64
        /// Bytes.
        package let length: UInt64
        /// The `FIEMAP_EXTENT_` bits of `linux/fiemap.h`.
        package let flags: UInt32

        package init(logical: UInt64, physical: UInt64, length: UInt64, flags: UInt32) {
            self.logical = logical
            self.physical = physical
            self.length = length
            self.flags = flags
        }

        /// Whether the extent lies at `physical`: not unknown, delayed, encoded, inline or packed into a tail.
        package var hasLocation: Bool { flags & 0x70E == 0 }
        /// Its bytes are in the page cache alone, and the filesystem has not chosen their place yet.
        package var isDelayed: Bool { flags & 0x6 != 0 }
        /// Reserved, but never written: reads as zeros.
        package var isUnwritten: Bool { flags & 0x800 != 0 }
        /// The last one of the file.
        package var isLast: Bool { flags & 0x1 != 0 }
    }

    /// What of a file is asked for.
    package enum Part: Sendable {
        case content
        /// Its extended attributes, as far as they lie outside of its inode.
        case attributes
    }

    /// One call's worth; 32 bytes each.
    private static let batch: UInt32 = 1024

    /// All extents of a file, in the order of the file.
    ///
    /// - Parameter syncs: writes the file out first, so that nothing is without a place.
    /// - Throws: `Errno.notSupported` where the filesystem cannot tell.
    package static func extents(of path: String, syncs: Bool = true) throws(Errno) -> [Extent] {
        try extents(of: OpenFile.open(path, flags: O_RDONLY | O_NONBLOCK), syncs: syncs)
    }

    package static func extents(of file: OpenFile, syncs: Bool = true) throws(Errno) -> [Extent] {
        var extents: [Extent] = []
        try collect(&extents) { (start, found) throws(Errno) in
            try shimCall { CLinux_extents(file.descriptor, start, syncs ? 1 : 0, found, batch) }
        }
        return extents
    }

    /// The extents of a file or directory of xfs, in the order of the file: FIEMAP does not work on its directories.
    /// What has no place yet is left out.
    package static func extents(onXFS file: OpenFile, of part: Part = .content) throws(Errno) -> [Extent] {
        var extents: [Extent] = []
        try collect(&extents) { (start, found) throws(Errno) in
            try shimCall { CLinux_xfs_extents(file.descriptor, start, part == .attributes ? 1 : 0, found, batch) }
        }
        return extents
    }

    private static func collect(
        _ extents: inout [Extent],
        _ ask: (UInt64, UnsafeMutablePointer<CLinux_extent>) throws(Errno) -> CInt
    ) throws(Errno) {
        let found = UnsafeMutableBufferPointer<CLinux_extent>.allocate(capacity: Int(batch))
        defer { found.deallocate() }
        var start: UInt64 = 0
        while true {
            let count = try ask(start, found.baseAddress!)
            for extent in found[..<Int(count)] {
                extents.append(
                    Extent(
                        logical: extent.logical,
                        physical: extent.physical,
                        length: extent.length,
                        flags: extent.flags
                    )
                )
            }
            guard count > 0, let last = extents.last, !last.isLast else { return }
            start = last.logical + last.length
        }
    }
}
