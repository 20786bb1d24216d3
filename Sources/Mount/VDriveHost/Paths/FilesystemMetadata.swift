import Glibc
import Linux

/// Where a filesystem keeps what it knows about its files: what listing a tree, and finding the bytes of its files,
/// reads from the disk.
protocol FilesystemMetadata {
    /// What every use of the filesystem needs.
    var fixed: [Range<UInt64>] { get }

    /// What one file or directory needs: its inode, its extents' tree, its extended attributes, the entries of a
    /// directory, the target of a link.
    ///
    /// - Parameter file: nil for what cannot be opened, such as a link.
    func ranges(of status: FileStatus, _ file: OpenFile?) throws(Errno) -> [Range<UInt64>]
}

/// Little or big endian numbers in bytes from a disk. Out of bounds is zero: a disk may hold anything.
struct DiskBytes {
    let bytes: ArraySlice<UInt8>
    let isBigEndian: Bool

    init(_ bytes: some Sequence<UInt8>, isBigEndian: Bool = false) {
        self.bytes = ArraySlice(bytes)
        self.isBigEndian = isBigEndian
    }

    func number(_ offset: Int, _ count: Int) -> UInt64 {
        guard offset >= 0, offset + count <= bytes.count else { return 0 }
        let part = bytes[bytes.startIndex + offset..<bytes.startIndex + offset + count]
        let ordered = isBigEndian ? Array(part) : part.reversed()
        return ordered.reduce(0) { $0 << 8 | UInt64($1) }
    }

    func byte(_ offset: Int) -> Int { Int(number(offset, 1)) }
    func short(_ offset: Int) -> Int { Int(number(offset, 2)) }
    func word(_ offset: Int) -> UInt64 { number(offset, 4) }
    func long(_ offset: Int) -> UInt64 { number(offset, 8) }
    func from(_ offset: Int) -> DiskBytes { DiskBytes(bytes.dropFirst(offset), isBigEndian: isBigEndian) }
}
