import Foundation
import Testing

@testable import VDriveFormat

/// Holds the tables of Protocol/FORMAT.md and the encoders' constants together.
@Suite("Protocol/FORMAT.md")
struct FormatDocumentTests {
    struct Row: Hashable {
        var offset: Int
        var size: Int
        var field: String

        init(_ offset: Int, _ size: Int, _ field: String) {
            self.offset = offset
            self.size = size
            self.field = field
        }
    }

    typealias Chunk = ChunkHeader.Offset
    typealias Node = MapNode.Offset
    typealias Commit = CommitRecord.Offset

    static let tables: [(String, [Row])] = [
        (
            "Chunk header",
            [
                Row(Chunk.skippableMagic, 4, "skippable magic"), Row(Chunk.skippableBytes, 4, "skippable length"),
                Row(Chunk.magic, 8, "magic"), Row(Chunk.formatVersion, 2, "format version"),
                Row(Chunk.cipher, 1, "cipher"), Row(Chunk.cipher + 1, 1, "reserved"),
                Row(Chunk.chunkBytes, 4, "chunk bytes"), Row(Chunk.frameBytes, 4, "frame bytes"),
                Row(Chunk.frameBytes + 4, 4, "reserved"), Row(Chunk.disk, 16, "disk"), Row(Chunk.chunk, 8, "chunk"),
                Row(Chunk.term, 8, "term"), Row(Chunk.epoch, 8, "epoch"), Row(Chunk.reserved, 20, "reserved"),
                Row(Chunk.checksum, 4, "checksum"),
            ]
        ),
        (
            "Map node",
            [
                Row(Node.magic, 8, "magic"), Row(Node.formatVersion, 2, "format version"), Row(Node.level, 1, "level"),
                Row(Node.level + 1, 1, "reserved"), Row(Node.entryCount, 2, "entry count"),
                Row(Node.entryCount + 2, 2, "reserved"), Row(Node.disk, 16, "disk"), Row(Node.index, 8, "index"),
                Row(Node.term, 8, "term"), Row(Node.epoch, 8, "epoch"), Row(Node.rawBytes, 4, "raw bytes"),
                Row(Node.compressedBytes, 4, "compressed bytes"),
            ]
        ),
        (
            "Commit",
            [
                Row(Commit.magic, 8, "magic"), Row(Commit.formatVersion, 2, "format version"),
                Row(Commit.flags, 1, "flags"), Row(Commit.checkpointLevels, 1, "checkpoint levels"),
                Row(Commit.entryCount, 4, "entry count"), Row(Commit.disk, 16, "disk"), Row(Commit.term, 8, "term"),
                Row(Commit.epoch, 8, "epoch"), Row(Commit.parentTerm, 8, "parent term"),
                Row(Commit.parentEpoch, 8, "parent epoch"), Row(Commit.diskBytes, 8, "disk bytes"),
                Row(Commit.allocatedChunks, 8, "allocated chunks"), Row(Commit.rootTerm, 8, "root term"),
                Row(Commit.rootEpoch, 8, "root epoch"), Row(Commit.checkpointEpoch, 8, "checkpoint epoch"),
                Row(Commit.createdAt, 8, "created at"), Row(Commit.reserved, 8, "reserved"),
                Row(Commit.rawBytes, 4, "raw bytes"), Row(Commit.compressedBytes, 4, "compressed bytes"),
            ]
        ),
    ]

    /// The rows "offset  size  field  meaning" under a heading, as far as they have numbers.
    static func rows(under heading: String, in text: String) -> [Row] {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "### \(heading)") else { return [] }
        let section = lines[(start + 1)...].prefix { !$0.hasPrefix("#") }
        return section.filter { $0.hasPrefix("    ") }.compactMap { line in
            let cells = String(line).split(separator: /\s{2,}/)
            guard cells.count >= 3, let offset = Int(cells[0]), let size = Int(cells[1]) else { return nil }
            return Row(offset, size, String(cells[2]))
        }
    }

    @Test("offsets and sizes are those of the encoders, without gaps", arguments: FormatDocumentTests.tables)
    func offsets(heading: String, expected: [Row]) throws {
        let text = try String(contentsOf: packageFolder.appending(path: "Protocol/FORMAT.md"), encoding: .utf8)
        #expect(Self.rows(under: heading, in: text) == expected)
        for (row, next) in zip(expected, expected.dropFirst()) {
            #expect(row.offset + row.size == next.offset, "\(heading): \(row.field)")
        }
    }

    @Test("the tables end where the heads end")
    func ends() {
        let ends = Self.tables.map { ($0.1.last?.offset ?? 0) + ($0.1.last?.size ?? 0) }
        #expect(ends == [ChunkHeader.Offset.end, MapNode.Offset.body, CommitRecord.Offset.body])
    }

    @Test("numbers and names in the text are those of the code")
    func constants() throws {
        let text = try String(contentsOf: packageFolder.appending(path: "Protocol/FORMAT.md"), encoding: .utf8)
        for name in NameTests.names.map(\.1) { #expect(text.contains("`\(name)`"), "\(name)") }
        for magic in ["vdrvblk", "vdrvnod", "vdrvcmt"] { #expect(text.contains("`\(magic)\\0`")) }
        #expect(text.contains(Golden.descriptor.split(separator: "\n")[8].trimmingCharacters(in: .whitespaces)))
    }
}
