import Codec
import Testing
import VDriveModel

@testable import VDriveFormat

/// Bytes as they lie on users' remotes. When one of these tests fails, the format changed: that takes a new format
/// version, never a new golden text.
///
/// What libzstd compresses may differ from version to version of it, so map nodes and commits are compared as far as
/// the compressed length, and the golden whole must decode.
@Suite("golden bytes")
struct GoldenTests {
    @Test("a chunk object of zeros")
    func zeros() throws {
        let geometry = try Sample.geometry(65_536)
        let chunk = [UInt8](repeating: 0, count: 65_536)
        let (object, entry) = try encodeChunk(chunk, index: ChunkIndex(0x12345), geometry: geometry)
        #expect(hex(object) == Golden.zeroChunk)
        #expect(
            try decodeChunk(unhex(Golden.zeroChunk), index: ChunkIndex(0x12345), entry: entry, geometry: geometry)
                == chunk
        )
    }

    @Test("a chunk object of stored frames")
    func stored() throws {
        let geometry = try Sample.geometry(1 << 20)
        var random = Seeded(1)
        let (object, entry) = try encodeChunk(random.noise(1 << 20), index: ChunkIndex(5), geometry: geometry)
        #expect(hexadecimal(XXH3.hash64(object), digits: 16) == Golden.storedChunkHash)
        #expect(
            entry.hash
                == ContentHash(
                    contentHash(try decodeChunk(object, index: ChunkIndex(5), entry: entry, geometry: geometry))
                )
        )
    }

    @Test("map nodes")
    func nodes() throws {
        let geometry = try Sample.geometry(65_536)
        let nodes = [
            (MapAndCommitTests.leaf(geometry, filled: 2, seed: 1), Golden.leaf),
            (MapAndCommitTests.upper(filled: 2, seed: 1), Golden.upper),
        ]
        for (node, golden) in nodes {
            let bytes = node.encode(disk: Sample.disk)
            #expect(
                hex(bytes[..<MapNode.Offset.compressedBytes]) == golden.prefix(2 * MapNode.Offset.compressedBytes),
                "\(hex(bytes))"
            )
            #expect(try MapAndCommitTests.decode(unhex(golden), as: node, geometry: geometry) == node)
        }
    }

    @Test("commits")
    func commits() throws {
        let geometry = try Sample.geometry(65_536)
        let record = MapAndCommitTests.commit(geometry, entries: 4, seed: 1)
        let bytes = record.encode(disk: Sample.disk)
        let head = CommitRecord.Offset.compressedBytes
        #expect(hex(bytes[..<head]) == Golden.commit.prefix(2 * head), "\(hex(bytes))")
        let read = try CommitRecord.decode(
            unhex(Golden.commit),
            disk: Sample.disk,
            version: record.version,
            chunkBytes: 65_536
        )
        #expect(read == record)
    }

    @Test("documents")
    func documents() throws {
        #expect(String(decoding: try DocumentTests.descriptor("mkdir").encode(), as: UTF8.self) == Golden.descriptor)
        #expect(String(decoding: DocumentTests.owner.encode(), as: UTF8.self) == Golden.owner)
        #expect(String(decoding: LatestHint(version: Sample.version).encode(), as: UTF8.self) == Golden.hint)
    }
}
