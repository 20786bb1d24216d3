internal import Codec
internal import VDriveFormat
internal import VDriveModel

/// The CPU work on chunks: never on an actor. What readers wait for runs on Swift's pool and lets others run between
/// frames; what uploads need runs on threads of its own.
enum ChunkCoding {
    @concurrent static func hash(_ buffer: ChunkBuffer) async -> ContentHash {
        ContentHash(XXH3.hash64(UnsafeRawBufferPointer(buffer.bytes)))
    }

    /// Decompresses consecutive frames and verifies each.
    ///
    /// - Parameter object: the bytes from the first frame's start, exactly as long as the entry says.
    @concurrent static func decode(
        _ object: ArraySlice<UInt8>,
        frames: Range<Int>,
        entry: MapEntry,
        frameBytes: Int
    ) async throws(FormatError) -> ChunkBuffer {
        let buffer = ChunkBuffer(count: frames.count * frameBytes)
        var at = object.startIndex
        for (position, frame) in frames.enumerated() {
            let length = Int(entry.frameBytes[frame])
            let target = UnsafeMutableRawBufferPointer(
                rebasing: buffer.bytes[position * frameBytes..<(position + 1) * frameBytes]
            )
            let part = object[at..<at + length]
            let result = part.withUnsafeBytes { bytes in
                Result { () throws(FormatError) in
                    try ChunkObject.decodeFrame(bytes, checksum: entry.frameChecksums[frame], into: target)
                }
            }
            try result.get()
            at += length
            if position % 8 == 7 { await Task.yield() }
        }
        return buffer
    }

    /// Compresses a chunk. It takes milliseconds without a pause: for a thread of its own, never for Swift's pool,
    /// where every step of a waiting request would queue behind it.
    ///
    /// - Parameter lostPages: zeros in the buffer, and lost in truth.
    /// - Returns: nil when it is all zeros: such a chunk needs no object.
    static func encode(
        _ buffer: ChunkBuffer,
        lostPages: PageSet?,
        id: DiskID,
        chunk: ChunkIndex,
        version: ObjectVersion,
        geometry: DiskGeometry
    ) throws(FormatError) -> (object: [UInt8], entry: MapEntry)? {
        if lostPages == nil, isZero(UnsafeRawBufferPointer(buffer.bytes)) { return nil }
        let hash = ContentHash(XXH3.hash64(UnsafeRawBufferPointer(buffer.bytes)))
        var encoder = ChunkEncoder(
            id: id,
            chunk: chunk,
            version: version,
            geometry: geometry,
            level: Compressor.levelDefault
        )
        for frame in 0..<geometry.framesPerChunk {
            let bytes = frame * geometry.frameBytes..<(frame + 1) * geometry.frameBytes
            try encoder.append(frame: UnsafeRawBufferPointer(rebasing: buffer.bytes[bytes]))
        }
        var (object, entry) = encoder.finish(hash: hash)
        entry.lostPages = lostPages
        return (object, entry)
    }

    static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.bindMemory(to: SIMD8<UInt64>.self).allSatisfy { $0 == .zero }
    }
}
