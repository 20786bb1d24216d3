import Testing
import VDriveModel

@testable import VDriveFormat

@Suite("names")
struct NameTests {
    static let version = ObjectVersion(term: Term(0x1A), epoch: Epoch(0x2B))

    static let names: [(ObjectName, String, ObjectRole)] = [
        (.descriptor, "vdrive.json", .descriptor),
        (.latest, "latest", .latest),
        (.destroyed, "destroyed", .destroyed),
        (.term(Term(0x1A)), "terms/0000001a", .term(Term(0x1A))),
        (.termOwner(Term(0x1A), claimIsFolder: true), "terms/0000001a/owner", .termOwner(Term(0x1A))),
        (.termOwner(Term(0x1A), claimIsFolder: false), "terms/0000001a.owner", .termOwner(Term(0x1A))),
        (.termRelease(Term(0x1A), claimIsFolder: true), "terms/0000001a/released", .termRelease(Term(0x1A))),
        (.termRelease(Term(0x1A), claimIsFolder: false), "terms/0000001a.released", .termRelease(Term(0x1A))),
        (.commit(version), "commits/0000001a-000000002b", .commit(version)),
        (
            .mapNode(level: 2, index: 0x3C, version: version), "map/2/000003c.0000001a-000000002b",
            .mapNode(level: 2, index: 0x3C, version: version)
        ),
        (
            .chunk(ChunkIndex(0x12345), version: version),
            "blocks/0000048/blk_000012345.0000001a-000000002b.zst", .chunk(ChunkIndex(0x12345), version)
        ),
    ]

    @Test("constructors and parser agree", arguments: names)
    func agree(name: ObjectName, path: String, role: ObjectRole) {
        #expect(name.path == path)
        #expect(name.role == role)
    }

    @Test("numbers grow beyond their widths", arguments: [UInt64(1) << 32, 1 << 44, .max])
    func wide(number: UInt64) {
        let version = ObjectVersion(term: Term(number), epoch: Epoch(number))
        #expect(ObjectName.commit(version).role == .commit(version))
        #expect(ObjectName.chunk(ChunkIndex(number), version: version).role == .chunk(ChunkIndex(number), version))
        let node = ObjectName.mapNode(level: 4, index: number, version: version)
        #expect(node.role == .mapNode(level: 4, index: number, version: version))
    }

    @Test(
        "other spellings are not names",
        arguments: [
            "", "terms", "terms/", "terms/1a", "terms/0000001A", "terms/00000001a", "terms/+000001a",
            "terms/0000001a/other",
            "terms/0000001a.own", "commits/0000001a", "commits/0000001a-000000002b.tmp", "commits/0000001a-00000002b",
            "map/2/000003c", "map/02/000003c.0000001a-000000002b", "map/-1/000003c.0000001a-000000002b",
            "blocks/0000049/blk_000012345.0000001a-000000002b.zst",
            "blocks/0000048/blx_000012345.0000001a-000000002b.zst",
            "blocks/0000048/blk_000012345.0000001a-000000002b", "vdrive.json/x", "/latest",
        ]
    )
    func refused(path: String) {
        #expect(ObjectRole(path: path) == nil)
    }
}
