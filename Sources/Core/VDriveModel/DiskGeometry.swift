/// The sizes of one disk and the arithmetic between bytes, pages, frames and chunks.
package struct DiskGeometry: Hashable, Sendable {
    /// 4 KiB: the unit in which residency and dirtiness are tracked.
    package static let pageBytes = 4096
    /// 128 KiB: the most that is compressed on its own, so that one Range request can fetch it alone.
    package static let frameBytesMax = 128 * 1024
    package static let chunkBytesRange = 64 * 1024...16 * 1024 * 1024
    package static let chunkBytesDefault = 4 * 1024 * 1024
    /// 8 EiB - 1 chunk is where the kernel's file offsets end; disks stop well before.
    package static let diskBytesMax: UInt64 = 1 << 60

    package let diskBytes: UInt64
    package let chunkBytes: Int
    @usableFromInline let chunkShift: UInt64

    /// - Throws: `GeometryError` with a sentence for the user.
    package init(diskBytes: UInt64, chunkBytes: Int) throws(GeometryError) {
        guard Self.chunkBytesRange.contains(chunkBytes), chunkBytes & (chunkBytes - 1) == 0 else {
            throw .chunkBytes(chunkBytes)
        }
        guard diskBytes > 0, diskBytes <= Self.diskBytesMax else { throw .diskBytes(diskBytes) }
        guard diskBytes % UInt64(chunkBytes) == 0 else { throw .notMultiple(diskBytes, chunkBytes) }
        self.diskBytes = diskBytes
        self.chunkBytes = chunkBytes
        self.chunkShift = UInt64(chunkBytes.trailingZeroBitCount)
    }

    package var chunkCount: UInt64 { diskBytes >> chunkShift }
    package var pagesPerChunk: Int { chunkBytes / Self.pageBytes }
    package var frameBytes: Int { min(Self.frameBytesMax, chunkBytes) }
    package var framesPerChunk: Int { chunkBytes / frameBytes }
    package var pagesPerFrame: Int { frameBytes / Self.pageBytes }

    @inlinable package func chunk(at offset: UInt64) -> ChunkIndex { ChunkIndex(offset >> chunkShift) }
    @inlinable package func offset(of chunk: ChunkIndex) -> UInt64 { chunk.rawValue << chunkShift }

    /// Cuts a byte range of the disk into its parts, one a chunk, in order.
    package func parts(offset: UInt64, count: Int) -> [ChunkPart] {
        var parts: [ChunkPart] = []
        var at = offset
        let end = offset + UInt64(count)
        while at < end {
            let chunk = chunk(at: at)
            let start = Int(at - self.offset(of: chunk))
            let length = min(chunkBytes - start, Int(end - at))
            parts.append(ChunkPart(chunk: chunk, bytes: start..<start + length))
            at += UInt64(length)
        }
        return parts
    }

    /// The pages that a byte range inside a chunk touches.
    @inlinable package func pages(touchedBy bytes: Range<Int>) -> Range<Int> {
        bytes.lowerBound / Self.pageBytes..<(bytes.upperBound + Self.pageBytes - 1) / Self.pageBytes
    }

    /// The pages that a byte range inside a chunk covers whole.
    @inlinable package func pages(coveredBy bytes: Range<Int>) -> Range<Int> {
        let first = (bytes.lowerBound + Self.pageBytes - 1) / Self.pageBytes
        return first..<max(first, bytes.upperBound / Self.pageBytes)
    }
}

/// The part of a byte range that lies in one chunk; `bytes` counts from the chunk's start.
package struct ChunkPart: Hashable, Sendable {
    package let chunk: ChunkIndex
    package let bytes: Range<Int>

    package init(chunk: ChunkIndex, bytes: Range<Int>) {
        self.chunk = chunk
        self.bytes = bytes
    }
}

/// Sizes that no disk can have, each with a sentence that says the cause and what to do.
package enum GeometryError: Error, Equatable, CustomStringConvertible {
    case chunkBytes(Int)
    case diskBytes(UInt64)
    case notMultiple(UInt64, Int)

    package var description: String {
        switch self {
        case .chunkBytes(let bytes):
            "The chunk size \(bytes) is not a power of two from 64 KiB to 16 MiB; "
                + "choose one, or leave it out for 4 MiB."
        case .diskBytes(let bytes):
            "The size \(bytes) is out of range; choose from one chunk to 1 EiB."
        case .notMultiple(let bytes, let chunkBytes):
            "The size \(bytes) is not a multiple of the chunk size \(chunkBytes); the next that is one is "
                + "\((bytes / UInt64(chunkBytes) + 1) * UInt64(chunkBytes))."
        }
    }
}
