internal import Foundation
internal import Glibc
internal import Linux
internal import VDriveMetadata
internal import VDriveModel

/// An fsck of what a daemon that does not run has left on its machine: LMDB against the cache files.
///
/// It says what no crash at any point may leave behind, as long as the ordering rules hold. What an unclean stop may
/// leave (a clean chunk with bytes that no flush recorded, bytes without a record) is no complaint.
package enum LocalState {
    /// - Parameters:
    ///   - metadataDirectory: the disk's LMDB environment; it is opened, and nothing is changed.
    ///   - cacheDirectory: where the `cache.NNNN` files lie.
    ///   - isTrimmed: whether something was deallocated on the disk: a chunk may then be clean and all holes.
    /// - Returns: one sentence for each thing that is wrong.
    package static func complaints(
        metadataDirectory: String,
        cacheDirectory: String,
        isTrimmed: Bool = false
    ) throws -> [String] {
        let store = try MetadataStore(directory: metadataDirectory)
        defer { store.close() }
        guard let superblock = try store.superblock() else { return ["there is no superblock"] }
        let geometry = try DiskGeometry(diskBytes: superblock.diskBytes, chunkBytes: superblock.chunkBytes)
        var complaints: [String] = []
        for (chunk, record) in try store.pages() {
            guard chunk.rawValue < geometry.chunkCount else {
                complaints.append("\(chunk) is recorded, beyond the disk's end")
                continue
            }
            if record.present.pageCount != geometry.pagesPerChunk {
                complaints.append("\(chunk) is recorded with \(record.present.pageCount) pages")
                continue
            }
            if zip(record.dirty.words, record.present.words).contains(where: { $0 & ~$1 != 0 }) {
                complaints.append("\(chunk) is recorded with dirty pages that are not present")
            }
            if !record.isDirty, !record.dirty.isEmpty {
                complaints.append("\(chunk) is recorded as clean with \(record.dirty.count) dirty pages")
            }
            // A clean chunk has an object, which is not all zeros. (A dirty one may be: zeros were written, or it was
            // trimmed.)
            let isEmpty = try !hasData(geometry.offset(of: chunk), geometry.chunkBytes, cacheDirectory)
            if !record.isDirty, !record.present.isEmpty, !isTrimmed, isEmpty {
                complaints.append("\(chunk) is recorded as cached, and the cache file has a hole there")
            }
        }
        return complaints
    }

    /// Chunks that are recorded as dirty, so that a test knows what it looks at.
    package static func dirtyChunks(metadataDirectory: String) throws -> [UInt64] {
        let store = try MetadataStore(directory: metadataDirectory)
        defer { store.close() }
        return try store.pages().filter(\.1.isDirty).map(\.0.rawValue)
    }

    /// One file covers 1 TiB of the disk.
    private static func hasData(_ offset: UInt64, _ count: Int, _ directory: String) throws -> Bool {
        let number = String(offset >> 40, radix: 16)
        let name = String(repeating: "0", count: 4 - number.count) + number
        guard FileManager.default.fileExists(atPath: "\(directory)/cache.\(name)") else { return false }
        let file = try OpenFile.open("\(directory)/cache.\(name)", flags: O_RDONLY)
        let start = offset & (1 << 40 - 1)
        guard let data = try file.seekData(from: start) else { return false }
        return data < start + UInt64(count)
    }
}
