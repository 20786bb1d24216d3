internal import Glibc
package import Linux
package import Synchronization
internal import VDriveModel

/// The cache of one disk: sparse files, chunk i at a fixed place, 1 TiB of disk a file.
///
/// A hit is one I/O at a computed offset, an eviction is one hole. The files are opened with flags of our own, never
/// the request's: O_DIRECT handed on from the loop device would make unaligned buffers fail. Callable from any thread;
/// a file is opened (by the engine) before any of its chunks becomes resident.
package final class CacheFile: Sendable {
    /// ext4 ends at 16 TiB a file; 1 TiB also keeps one file's extent tree small.
    package static let bytesPerFile: UInt64 = 1 << 40
    package static let fileShift: UInt64 = 40
    /// What the names of cache files begin with; a number in hexadecimal follows.
    package static let filePrefix = "cache."

    package let directory: String
    package let diskBytes: UInt64
    private let files: Mutex<[Int: OpenFile]>
    /// SAFETY: descriptors + 1 by file number, zero while not open; written once each before use, read by atomics.
    @usableFromInline let descriptors: MappedRegion

    /// - Parameter directory: exists, and holds nothing but this cache's files.
    package init(directory: String, diskBytes: UInt64) throws(Errno) {
        self.directory = directory
        self.diskBytes = diskBytes
        files = Mutex([:])
        let count = Int((diskBytes + Self.bytesPerFile - 1) >> Self.fileShift)
        descriptors = try MappedRegion(byteCount: max(count, 1) * 8)
    }

    @inlinable func descriptorWord(_ number: Int) -> UnsafeMutablePointer<Atomic<Int>> {
        descriptors.base.assumingMemoryBound(to: Atomic<Int>.self) + number
    }

    /// Where a byte of the disk lies: descriptor and position, or nil while that file is not open. No lock.
    @inlinable package func place(of offset: UInt64) -> (descriptor: CInt, position: UInt64)? {
        let word = descriptorWord(Int(offset >> Self.fileShift)).pointee.load(ordering: .acquiring)
        guard word != 0 else { return nil }
        return (CInt(word - 1), offset & (Self.bytesPerFile - 1))
    }

    /// Opens (and creates) the file that holds `offset`. Blocks.
    @discardableResult
    package func open(for offset: UInt64) throws(Errno) -> OpenFile {
        let number = Int(offset >> Self.fileShift)
        return try files.withLock { (files) throws(Errno) -> OpenFile in
            if let file = files[number] { return file }
            let path = Self.path(number, in: directory)
            let file = try OpenFile.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
            let bytes = min(Self.bytesPerFile, diskBytes - UInt64(number) << Self.fileShift)
            if try file.size() != bytes { try file.truncate(to: bytes) }
            // An fdatasync of a new file need not make its name durable.
            try Directory.sync(directory)
            files[number] = file
            descriptorWord(number).pointee.store(Int(file.descriptor) + 1, ordering: .releasing)
            return file
        }
    }

    private static func path(_ number: Int, in directory: String) -> String {
        "\(directory)/\(filePrefix)\(hexadecimal(UInt64(number), digits: 4))"
    }

    /// The length of a file that an earlier run left: what lies beyond it would be read as zeros. 0 when it is gone.
    /// Blocks.
    package static func bytesLeft(ofFile number: Int, in directory: String) -> UInt64 {
        (try? FileStatus.of(path(number, in: directory)))?.bytes ?? 0
    }

    /// The files that an earlier run left here are opened too, so that they are counted and swept. Blocks.
    package func openExisting() throws(Errno) {
        for name in try Directory.list(directory) where name.hasPrefix(Self.filePrefix) {
            guard let number = UInt64(name.dropFirst(Self.filePrefix.count), radix: 16),
                number << Self.fileShift < diskBytes
            else {
                continue
            }
            try open(for: number << Self.fileShift)
        }
    }

    private var opened: [(number: Int, file: OpenFile)] {
        files.withLock { files in files.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }
    }

    /// What the filesystem really allocates, in bytes. Blocks shortly (one fstat a file).
    package func allocatedBytes() throws(Errno) -> UInt64 {
        var bytes: UInt64 = 0
        for (_, file) in opened { bytes += try file.allocatedBytes() }
        return bytes
    }

    /// Reads bytes that do not cross a file's end. Blocks.
    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        try open(for: offset).preadAll(into: buffer, at: offset & (Self.bytesPerFile - 1))
    }

    /// Writes bytes that do not cross a file's end. Blocks.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(Errno) {
        try open(for: offset).pwriteAll(bytes, at: offset & (Self.bytesPerFile - 1))
    }

    /// Writes all bytes to a place that `place(of:)` gave. No lock, no allocation.
    @usableFromInline
    static func writeAll(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer, at position: UInt64) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor,
                bytes.baseAddress! + done,
                bytes.count - done,
                off_t(position) + off_t(done)
            )
            if count > 0 { done += count } else if count == 0 || errno != EINTR { return false }
        }
        return true
    }

    /// Gives a range back to the filesystem; it reads as zeros from now on. Blocks.
    package func punch(at offset: UInt64, count: Int) throws(Errno) {
        try open(for: offset).punchHole(at: offset & (Self.bytesPerFile - 1), length: UInt64(count))
    }

    /// Whether the file holds no bytes of a range that does not cross a file's end: it reads as zeros. Blocks.
    package func isHole(at offset: UInt64, count: Int) throws(Errno) -> Bool {
        let position = offset & (Self.bytesPerFile - 1)
        guard let data = try open(for: offset).seekData(from: position) else { return true }
        return data >= position + UInt64(count)
    }

    /// Copies a range into another file, sharing blocks where the filesystem can. Blocks.
    package func copy(at offset: UInt64, count: Int, to file: OpenFile, at position: UInt64) throws(Errno) {
        let source = try open(for: offset)
        let from = offset & (Self.bytesPerFile - 1)
        if try file.cloneRange(from: source, at: from, to: position, length: UInt64(count)) { return }
        try file.copyRange(from: source, at: from, to: position, length: UInt64(count))
    }

    /// The allocated ranges of a byte range of the disk, in order, as offsets of the disk. Blocks.
    package func allocatedRanges(_ visit: (Range<UInt64>) throws(Errno) -> Void) throws(Errno) {
        for (number, file) in opened {
            let base = UInt64(number) << Self.fileShift
            var at: UInt64 = 0
            while let start = try file.seekData(from: at) {
                let end = try file.seekHole(from: start) ?? start
                guard end > start else { break }
                try visit(base + start..<base + end)
                at = end
            }
        }
    }

    /// Lets go of what the kernel keeps of the files in memory, so that reads see what is on the disk: after a failed
    /// fdatasync the two can differ, and only the disk's version survives. Blocks.
    package func dropPageCache() throws(Errno) {
        for (_, file) in opened {
            try file.datasync()
            try file.adviseDontNeed(at: 0, length: 0)
        }
    }

    /// Makes everything written so far durable. Blocks; never on Swift's cooperative pool.
    ///
    /// - Returns: the proof that a metadata commit demands (ordering rule 1).
    package func sync() throws(Errno) -> DataSyncReceipt {
        for (_, file) in opened { try file.datasync() }
        return DataSyncReceipt()
    }

    /// A proof of nothing, for the tests that break ordering rules 1 and 3 on purpose.
    package func receiptWithoutSync() -> DataSyncReceipt { DataSyncReceipt() }
}

/// Proof that an fdatasync of the cache files came after the bytes that it is shown for. Only `CacheFile.sync` makes
/// one that is true.
package struct DataSyncReceipt: Sendable {
    fileprivate init() {}
}
