internal import Codec
package import VDriveModel

/// A chunk as it lies on the remote: our header, one zstd frame per 128 KiB (or per chunk, when that is smaller), and
/// the seek table. `ChunkEncoder` makes one; here is how it is read and verified.
package enum ChunkObject {
    /// The length of the header, in bytes: where frame 0 begins.
    package static let headerBytes = ChunkHeader.Offset.end

    /// The most that an object of this geometry can take, in bytes: every frame stored.
    package static func objectBytesMax(_ geometry: DiskGeometry) -> Int {
        headerBytes + geometry.framesPerChunk * (geometry.frameBytes + StoredFrame.overheadBytesMax)
            + SeekTable.length(frames: geometry.framesPerChunk)
    }

    /// Where frames lie in the object, for a Range request.
    ///
    /// - Parameter frames: not empty, inside the chunk.
    package static func frameRange(_ frames: Range<Int>, entry: MapEntry) -> Range<Int> {
        let start = headerBytes + entry.frameBytes[..<frames.lowerBound].reduce(0) { $0 + Int($1) }
        return start..<start + entry.frameBytes[frames].reduce(0) { $0 + Int($1) }
    }

    /// The same, widened to include the header when the frames begin with the first, so that the read proves whose
    /// object it is; then the first `headerBytes` are to be given to `verifyHeader`.
    package static func readRange(_ frames: Range<Int>, entry: MapEntry) -> Range<Int> {
        let range = frameRange(frames, entry: entry)
        return frames.lowerBound == 0 ? 0..<range.upperBound : range
    }

    /// Reads the header at the start of `bytes`.
    package static func decodeHeader(_ bytes: UnsafeRawBufferPointer) throws(FormatError) -> ChunkHeader {
        try ChunkHeader(decoding: bytes)
    }

    /// Reads the header at the start of `bytes`, and checks that it is the one of the object asked for.
    package static func verifyHeader(
        of bytes: UnsafeRawBufferPointer,
        id: DiskID,
        chunk: ChunkIndex,
        version: ObjectVersion,
        geometry: DiskGeometry
    ) throws(FormatError) {
        try ChunkHeader(decoding: bytes)
            .verify(is: ChunkHeader(disk: id, chunk: chunk, version: version, geometry: geometry))
    }

    /// Decompresses one frame, verifies its checksum, and that it is the frame of the map entry: another object's sound
    /// frame may have the same length.
    ///
    /// - Parameters:
    ///   - bytes: the frame, exactly as long as the map entry says.
    ///   - checksum: the map entry's. The frame ends with its own, which libzstd compares with the content, so that
    ///     nothing has to be hashed once more.
    ///   - target: exactly the frame's raw size. After an error it holds anything.
    package static func decodeFrame(
        _ bytes: UnsafeRawBufferPointer,
        checksum: UInt32,
        into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard bytes.count > 4 else { throw .truncated(.chunkObject) }
        let found = Self.checksum(endingAt: bytes.count, of: bytes)
        guard found == checksum else { throw Self.foreignFrame(found: found, expected: checksum) }
        do throws(CodecError) {
            try Decompressor.withThreadContext { decompressor throws(CodecError) in
                try decompressor.decompress(bytes, into: target)
            }
        } catch {
            throw .frame(.chunkObject, error)
        }
    }

    private static func checksum(endingAt end: Int, of bytes: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: end - 4, as: UInt32.self))
    }

    private static func foreignFrame(found: UInt32, expected: UInt32) -> FormatError {
        .wrongObject(.chunkObject, field: "frame checksum", found: UInt64(found), expected: UInt64(expected))
    }

    /// Checks a whole object without decompressing it: header, lengths, the seek table against the map entry and
    /// against the checksums that the frames carry.
    package static func verify(
        _ object: UnsafeRawBufferPointer,
        id: DiskID,
        chunk: ChunkIndex,
        entry: MapEntry,
        geometry: DiskGeometry
    ) throws(FormatError) {
        let part = FormatPart.chunkObject
        try verifyHeader(of: object, id: id, chunk: chunk, version: entry.version, geometry: geometry)
        let frames = geometry.framesPerChunk
        guard entry.frameBytes.count == frames, entry.frameChecksums.count == frames else {
            throw .malformed(part, "its map entry has no \(frames) frames")
        }
        let tableStart = frameRange(0..<frames, entry: entry).upperBound
        guard object.count == Int(entry.objectBytes), object.count == tableStart + SeekTable.length(frames: frames)
        else {
            let expected = UInt64(entry.objectBytes)
            throw .wrongObject(part, field: "length", found: UInt64(object.count), expected: expected)
        }
        var expected: [SeekTable.Entry] = [
            SeekTable.Entry(
                compressedBytes: UInt32(headerBytes),
                contentBytes: 0,
                checksum: XXH64.checksum32([UInt8]())
            )
        ]
        var end = headerBytes
        for (length, bound) in zip(entry.frameBytes, entry.frameChecksums) {
            end += Int(length)
            let checksum = Self.checksum(endingAt: end, of: object)
            guard checksum == bound else { throw foreignFrame(found: checksum, expected: bound) }
            expected.append(
                SeekTable.Entry(
                    compressedBytes: length,
                    contentBytes: UInt32(geometry.frameBytes),
                    checksum: checksum
                )
            )
        }
        let table = try SeekTable(decoding: [UInt8](object[tableStart...]), frames: frames)
        guard table.entries == expected else { throw .malformed(part, "the seek table contradicts the frames") }
    }

    /// Verifies a whole object and decompresses it: header, seek table, every frame, the content hash.
    ///
    /// - Parameter target: exactly one chunk. After an error it holds anything.
    package static func decode(
        _ object: UnsafeRawBufferPointer,
        id: DiskID,
        chunk: ChunkIndex,
        entry: MapEntry,
        geometry: DiskGeometry,
        into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        precondition(target.count == geometry.chunkBytes)
        try verify(object, id: id, chunk: chunk, entry: entry, geometry: geometry)
        for frame in 0..<geometry.framesPerChunk {
            let source = object[frameRange(frame..<frame + 1, entry: entry)]
            let start = frame * geometry.frameBytes
            try decodeFrame(
                UnsafeRawBufferPointer(rebasing: source),
                checksum: entry.frameChecksums[frame],
                into: UnsafeMutableRawBufferPointer(rebasing: target[start..<start + geometry.frameBytes])
            )
        }
        guard XXH3.hash64(UnsafeRawBufferPointer(target)) == entry.hash.rawValue else { throw .checksum(.chunkObject) }
    }
}
