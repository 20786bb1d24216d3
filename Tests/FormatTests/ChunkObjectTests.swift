import Foundation
import Testing
import VDriveModel

@testable import VDriveFormat

@Suite("chunk objects")
struct ChunkObjectTests {
    static let chunkSizes = (16...24).map { 1 << $0 }

    enum Content: String, CaseIterable {
        case zeros, text, noise, mixed, lateText
    }

    static func chunk(_ content: Content, bytes: Int, frame: Int, seed: UInt64) -> [UInt8] {
        var random = Seeded(seed)
        switch content {
        case .zeros: return [UInt8](repeating: 0, count: bytes)
        case .text: return random.text(bytes)
        case .noise: return random.noise(bytes)
        case .mixed:
            return (0..<bytes / frame).flatMap { index in
                [random.noise(frame), [UInt8](repeating: 0, count: frame), random.text(frame)][index % 3]
            }
        case .lateText:
            return random.noise(bytes / 2) + random.text(bytes / 2)
        }
    }

    @Test("round trip and plain zstd -dc", arguments: chunkSizes, Content.allCases)
    func roundTrip(chunkBytes: Int, content: Content) throws {
        let geometry = try Sample.geometry(chunkBytes)
        let index = ChunkIndex(1234)
        let seed = UInt64(chunkBytes)
        let chunk = Self.chunk(content, bytes: chunkBytes, frame: geometry.frameBytes, seed: seed)
        let (object, entry) = try encodeChunk(chunk, index: index, geometry: geometry)
        #expect(object.count == Int(entry.objectBytes))
        #expect(object.count <= ChunkObject.objectBytesMax(geometry))
        #expect(entry.frameBytes.count == geometry.framesPerChunk)
        #expect(try decodeChunk(object, index: index, entry: entry, geometry: geometry) == chunk)

        let unpacked = try withTemporaryFolder { folder in
            let file = folder.appending(path: "blk.zst")
            try Data(object).write(to: file)
            return try run(["zstd", "-q", "-dc", file.path])
        }
        #expect(unpacked.status == 0, "\(unpacked.errors)")
        #expect(unpacked.output == Data(chunk))
    }

    @Test("a frame of a Range request decodes alone")
    func ranges() throws {
        let geometry = try Sample.geometry(1 << 20)
        let chunk = Self.chunk(.mixed, bytes: 1 << 20, frame: geometry.frameBytes, seed: 1)
        let (object, entry) = try encodeChunk(chunk, index: ChunkIndex(0), geometry: geometry)
        for frame in 0..<geometry.framesPerChunk {
            let range = ChunkObject.frameRange(frame..<frame + 1, entry: entry)
            var raw = [UInt8](repeating: 0, count: geometry.frameBytes)
            try object[range].withUnsafeBytes { source in
                try raw.withUnsafeMutableBytes {
                    try ChunkObject.decodeFrame(source, checksum: entry.frameChecksums[frame], into: $0)
                }
            }
            #expect(raw[...] == chunk[frame * geometry.frameBytes..<(frame + 1) * geometry.frameBytes])
        }
        #expect(ChunkObject.readRange(0..<2, entry: entry).lowerBound == 0)
        #expect(ChunkObject.readRange(1..<2, entry: entry) == ChunkObject.frameRange(1..<2, entry: entry))
        let all = ChunkObject.frameRange(0..<geometry.framesPerChunk, entry: entry)
        #expect(all.lowerBound == ChunkObject.headerBytes)
        #expect(object.count - all.upperBound == SeekTable.length(frames: geometry.framesPerChunk))
    }

    @Test("incompressible data is stored, zeros are 21 bytes, and a probe turns compression on again")
    func policy() throws {
        let geometry = try Sample.geometry(4 << 20)
        let stored = UInt32(geometry.frameBytes + 4 + 1 + 4 + 3 + 4)
        let noise = Self.chunk(.noise, bytes: 4 << 20, frame: geometry.frameBytes, seed: 3)
        #expect(
            try encodeChunk(noise, index: ChunkIndex(0), geometry: geometry).entry.frameBytes.allSatisfy {
                $0 == stored
            }
        )
        let zeros = Self.chunk(.zeros, bytes: 4 << 20, frame: geometry.frameBytes, seed: 3)
        #expect(
            try encodeChunk(zeros, index: ChunkIndex(0), geometry: geometry).entry.frameBytes.allSatisfy { $0 == 21 }
        )
        // Noise in frames 0 to 2, text after: the probe of frame 8 finds it.
        var random = Seeded(4)
        let late = random.noise(3 * geometry.frameBytes) + random.text(29 * geometry.frameBytes)
        let lengths = try encodeChunk(late, index: ChunkIndex(0), geometry: geometry).entry.frameBytes
        #expect(lengths[..<8].allSatisfy { $0 == stored })
        #expect(lengths[8...].allSatisfy { $0 < stored / 2 })
    }

    @Test("frames of a wrong size and frames too many are refused")
    func wrongFrames() throws {
        let geometry = try Sample.geometry(65_536)
        var encoder = ChunkEncoder(
            id: Sample.disk,
            chunk: ChunkIndex(0),
            version: Sample.version,
            geometry: geometry,
            level: 1
        )
        var refused = 0
        for count in [65_535, 65_536, 65_536] {
            do throws(FormatError) {
                let frame = [UInt8](repeating: 1, count: count)
                var failure: FormatError?
                frame.withUnsafeBytes { bytes in
                    do throws(FormatError) { try encoder.append(frame: bytes) } catch { failure = error }
                }
                if let failure { throw failure }
            } catch {
                refused += 1
            }
        }
        #expect(refused == 2)
        #expect(encoder.frames == 1)
    }

    @Test("every truncation and every flipped byte of an object is refused")
    func damage() throws {
        let geometry = try Sample.geometry(65_536)
        let index = ChunkIndex(7)
        var random = Seeded(9)
        for chunk in [[UInt8](repeating: 0, count: 65_536), random.text(4_000) + [UInt8](repeating: 7, count: 61_536)] {
            let (object, entry) = try encodeChunk(chunk, index: index, geometry: geometry)
            for count in 0..<object.count {
                #expect(throws: FormatError.self, "cut to \(count)") {
                    try decodeChunk(Array(object[..<count]), index: index, entry: entry, geometry: geometry)
                }
            }
            for position in object.indices {
                for mask: UInt8 in [0x01, 0x10, 0x80, 0xFF] {
                    var damaged = object
                    damaged[position] ^= mask
                    // A stream may have two spellings of the same bytes; what must never come back is other data.
                    let read = try? decodeChunk(damaged, index: index, entry: entry, geometry: geometry)
                    #expect(read == nil || read == chunk, "byte \(position) ^ \(mask)")
                    if position < ChunkObject.headerBytes { #expect(read == nil, "header byte \(position) ^ \(mask)") }
                }
            }
        }
    }

    @Test("another disk, chunk, version or geometry is refused by the header")
    func identity() throws {
        let geometry = try Sample.geometry(65_536)
        let chunk = [UInt8](repeating: 5, count: 65_536)
        let (object, _) = try encodeChunk(chunk, index: ChunkIndex(7), geometry: geometry)
        func verify(_ id: DiskID, _ index: UInt64, _ term: UInt64, _ epoch: UInt64, _ geometry: DiskGeometry) throws {
            try object.withUnsafeBytes { bytes in
                try ChunkObject.verifyHeader(
                    of: bytes,
                    id: id,
                    chunk: ChunkIndex(index),
                    version: ObjectVersion(term: Term(term), epoch: Epoch(epoch)),
                    geometry: geometry
                )
            }
        }
        try verify(Sample.disk, 7, 3, 77, geometry)
        #expect(throws: FormatError.wrongDisk(.chunkObject, found: Sample.disk)) {
            try verify(DiskID(high: 1, low: 2), 7, 3, 77, geometry)
        }
        #expect(throws: FormatError.wrongObject(.chunkObject, field: "chunk", found: 7, expected: 8)) {
            try verify(Sample.disk, 8, 3, 77, geometry)
        }
        #expect(throws: FormatError.self) { try verify(Sample.disk, 7, 2, 77, geometry) }
        #expect(throws: FormatError.self) { try verify(Sample.disk, 7, 3, 76, geometry) }
        #expect(throws: FormatError.self) { try verify(Sample.disk, 7, 3, 77, Sample.geometry(131_072)) }
        var future = object
        future[ChunkHeader.Offset.formatVersion] = 2
        #expect(throws: FormatError.futureVersion(.chunkObject, 2)) {
            try future.withUnsafeBytes { _ = try ChunkObject.decodeHeader($0) }
        }
    }
}
