internal import VDriveDataPlane
internal import VDriveModel

/// What is written to a part of a chunk.
enum WriteSource: Sendable {
    /// The bytes of a buffer, from a place in it on.
    case buffer(PooledBuffer, from: Int)
    /// Zeros, at most `zerosMax`. They need no buffer of the pool: those may all be with writes that wait.
    case zeros

    /// The edges of a range that covers no whole page: two parts of pages.
    static let zerosMax = 2 * DiskGeometry.pageBytes

    /// Nobody writes here.
    private static let blank = ChunkBuffer(count: zerosMax)

    /// Valid as long as this is.
    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        switch self {
        case .buffer(let buffer, let start): UnsafeRawBufferPointer(rebasing: buffer.memory[start..<start + count])
        case .zeros: UnsafeRawBufferPointer(rebasing: Self.blank.bytes[..<count])
        }
    }
}
