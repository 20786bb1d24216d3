internal import Glibc
internal import Linux
internal import VDriveModel

/// Where the bytes of a chunk are that belongs to the epoch now being uploaded.
enum SealedState {
    /// In the cache file, and nobody has written to the chunk since: the uploader reads them there.
    case waiting
    /// In the cache file, but for the pages that were written since: those are kept in memory.
    case overwritten(KeptPages)
    /// Copied aside, because a writer came before the uploader.
    case preserved(OutboxCopy)
    /// Read by the uploader.
    case captured
}

/// The sealed bytes of pages that were overwritten since the seal.
struct KeptPages: Sendable {
    /// The pages that were there at the seal.
    let present: PageSet
    /// One page each, by page number; a part of `present`.
    var pages: [Int: ChunkBuffer] = [:]
}

/// A sealed chunk's pages in a file of their own, at their places inside the chunk; the file goes with the copy.
struct OutboxCopy: Sendable {
    let file: OpenFile
    let present: PageSet
}

/// A raw chunk in memory, on its way to the remote.
final class ChunkBuffer: @unchecked Sendable {
    // SAFETY: the memory belongs to this object; one task at a time fills or reads it (the uploader's child).
    let bytes: UnsafeMutableRawBufferPointer

    /// Zeros.
    init(count: Int) {
        bytes = .allocate(byteCount: count, alignment: 4096)
        memset(bytes.baseAddress!, 0, count)
    }

    deinit { bytes.deallocate() }
}

/// What the uploader gets of a sealed chunk: the bytes of its present pages; the others lie in the base object.
struct CapturedChunk: Sendable {
    let chunk: ChunkIndex
    /// Nil when every page is present and zeros.
    let buffer: ChunkBuffer?
    let present: PageSet
}
