internal import Codec
internal import Glibc
package import VDriveModel

/// Makes a chunk object, one frame at a time, so that the caller can yield in between.
///
/// Incompressible data is stored, not squeezed. The first frame is tried; when it shrinks by less than 5 %, the frames
/// after it are stored without a try, except the middle one and every eighth, which are probes: one that shrinks turns
/// compression on again, and a frame that does not turns it off again. A frame of zeros costs one comparison.
///
///                 shrinks < 5 %
///     compressing ─────────────▶ storing
///                 ◀─────────────
///                 a probe shrinks
///
/// It keeps no zstd context between the calls: `append` borrows that of the thread it runs on.
package struct ChunkEncoder: ~Copyable {
    private static let probeEvery = 8

    private let geometry: DiskGeometry
    private let level: Int
    private let version: ObjectVersion
    private var writer: ByteWriter
    private var table: SeekTable
    private var scratch: [UInt8]
    private var compressing = true

    /// - Parameter level: zstd's, 1 to 19.
    package init(id: DiskID, chunk: ChunkIndex, version: ObjectVersion, geometry: DiskGeometry, level: Int) {
        precondition(Compressor.levels.contains(level), "compression level \(level)")
        self.geometry = geometry
        self.level = level
        self.version = version
        writer = ByteWriter(
            bytes: ChunkHeader(disk: id, chunk: chunk, version: version, geometry: geometry).encode()
        )
        scratch = []
        let header = SeekTable.Entry(
            compressedBytes: UInt32(ChunkObject.headerBytes),
            contentBytes: 0,
            checksum: XXH64.checksum32([UInt8]())
        )
        table = SeekTable(entries: [header])
        table.entries.reserveCapacity(geometry.framesPerChunk + 1)
    }

    /// The frames appended so far.
    package var frames: Int { table.entries.count - 1 }

    /// Compresses or stores the next frame: about 0.1 to 1 ms of work.
    ///
    /// - Parameter frame: the raw bytes, exactly `geometry.frameBytes` of them.
    /// - Throws: `malformed` for a frame of another size, or one too many.
    package mutating func append(frame: UnsafeRawBufferPointer) throws(FormatError) {
        guard frame.count == geometry.frameBytes, frames < geometry.framesPerChunk else {
            throw .malformed(.chunkObject, "frame \(frames) of \(frame.count) bytes does not belong into the chunk")
        }
        let start = writer.bytes.count
        if Self.isZero(frame) {
            writer.bytes.append(contentsOf: ZeroFrames.frame(frame.count))
        } else if isWorthATry, try appendCompressed(frame) {
            compressing = true
        } else {
            compressing = false
            StoredFrame.append(frame, to: &writer.bytes)
        }
        let length = writer.bytes.count - start
        // A frame ends with the checksum that the seek table repeats.
        let checksum = writer.bytes.withUnsafeBytes { bytes in
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: bytes.count - 4, as: UInt32.self))
        }
        table.entries.append(
            SeekTable.Entry(
                compressedBytes: UInt32(length),
                contentBytes: UInt32(frame.count),
                checksum: checksum
            )
        )
    }

    /// Appends the seek table and gives the object away, with what the map is to say of it.
    ///
    /// - Parameter hash: XXH3 over the chunk's raw bytes.
    /// - Precondition: every frame of the chunk was appended.
    package consuming func finish(hash: ContentHash) -> (object: [UInt8], entry: MapEntry) {
        precondition(frames == geometry.framesPerChunk, "\(frames) of \(geometry.framesPerChunk) frames")
        table.encode(into: &writer)
        let entry = MapEntry(
            version: version,
            objectBytes: UInt32(writer.bytes.count),
            frameBytes: table.entries.dropFirst().map(\.compressedBytes),
            frameChecksums: table.entries.dropFirst().map(\.checksum),
            hash: hash
        )
        return (writer.bytes, entry)
    }

    private var isWorthATry: Bool {
        compressing || frames % Self.probeEvery == 0 || frames == geometry.framesPerChunk / 2
    }

    /// Appends the frame compressed, unless it shrinks by less than 5 %.
    private mutating func appendCompressed(_ frame: UnsafeRawBufferPointer) throws(FormatError) -> Bool {
        let worthwhile = frame.count - frame.count / 20
        if scratch.isEmpty { scratch = [UInt8](repeating: 0, count: worthwhile) }
        let level = level
        do throws(CodecError) {
            let length = try Compressor.withThreadContext { compressor throws(CodecError) in
                try Self.compress(frame, into: &scratch, with: compressor, level: level)
            }
            writer.bytes.append(contentsOf: scratch[..<length])
            return true
        } catch .outputFull {
            return false
        } catch {
            throw .frame(.chunkObject, error)
        }
    }

    private static func compress(
        _ frame: UnsafeRawBufferPointer,
        into scratch: inout [UInt8],
        with compressor: Compressor,
        level: Int
    ) throws(CodecError) -> Int {
        var result: Result<Int, CodecError> = .success(0)
        scratch.withUnsafeMutableBytes { target in
            do throws(CodecError) {
                result = .success(try compressor.compress(frame, into: target, level: level))
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    /// Compares the bytes with themselves, one further: memcmp stops at the first difference.
    private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        return bytes[0] == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
    }
}

/// The frames of zeros of the two sizes that exist, made once.
private enum ZeroFrames {
    static let small = StoredFrame.zeros(64 * 1024)
    static let full = StoredFrame.zeros(128 * 1024)

    static func frame(_ count: Int) -> [UInt8] { count == 64 * 1024 ? small : full }
}
