import Foundation
import Testing
import VDriveModel

@testable import VDriveFormat

@Suite("vdrive.json, owner records, the hint")
struct DocumentTests {
    static let owner = TermOwner(
        host: "host \"ä\"\n\\ 1",
        holder: "0123456789abcdef",
        pid: 4711,
        bootID: "6f1f0e1c-0000-4000-8000-000000000000",
        nonce: "00ff",
        since: 1_700_000_000,
        softwareVersion: "0.1.0"
    )

    static func descriptor(_ claim: String?) throws -> DiskDescriptor {
        DiskDescriptor(
            disk: Sample.disk,
            geometry: try Sample.geometry(4 << 20),
            claimPrimitive: claim,
            createdAt: 1_700_000_000
        )
    }

    @Test("round trips, and Foundation reads the same JSON")
    func roundTrips() throws {
        for claim in [nil, "mkdir"] {
            let descriptor = try Self.descriptor(claim)
            #expect(try DiskDescriptor.decode(descriptor.encode()) == descriptor)
        }
        let bytes = Self.owner.encode()
        #expect(try TermOwner.decode(bytes) == Self.owner)
        let read = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        #expect(read?["host"] as? String == Self.owner.host)
        #expect(read?["pid"] as? Int == 4711)
    }

    @Test("every truncation and every flipped byte is refused")
    func damage() throws {
        for damaged in MapAndCommitTests.damages(try Self.descriptor("mkdir").encode()) {
            #expect(throws: FormatError.self) { try DiskDescriptor.decode(damaged) }
        }
        for damaged in MapAndCommitTests.damages(Self.owner.encode()) {
            #expect(throws: FormatError.self) { try TermOwner.decode(damaged) }
        }
        for damaged in MapAndCommitTests.damages(LatestHint(version: Sample.version).encode()) {
            #expect(LatestHint.decode(damaged) == nil)
        }
    }

    @Test("unknown keys of any kind are tolerated, a future version is refused by name")
    func future() throws {
        let members: [(key: String, value: FlatJSON.Value)] = [
            ("format", .text("vdrive disk")), ("formatVersion", .number(1)), ("uuid", .text(Sample.disk.description)),
            ("diskBytes", .number(1 << 30)), ("chunkBytes", .number(1 << 22)), ("createdAt", .number(5)),
            ("colour", .text("blue")), ("weight", .number(7)),
        ]
        #expect(try DiskDescriptor.decode(FlatJSON.encode(members)).createdAt == 5)
        let later = #"{"later": [{"a": [1, -2.5e+3, null]}, true], "formatVersion": 2, "format": "vdrive disk"}"#
        #expect(throws: FormatError.futureVersion(.descriptor, 2)) { try DiskDescriptor.decode(Array(later.utf8)) }
        let error = FormatError.futureVersion(.descriptor, 2)
        #expect(
            error.description
                == "The vdrive.json has format version 2, which this vdrive does not know; use a newer one."
        )
    }

    @Test(
        "what is no JSON is refused",
        arguments: [
            "", "{", "{}", "[]", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1 \"b\":2}", "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":1,\"a\":1}", "{\"a\":1}x", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":+1}",
            "{\"a\":.5}",
        ]
    )
    func notJSON(text: String) {
        #expect(throws: FormatError.self) {
            var parser = FlatJSONParser(Array(text.utf8), part: .descriptor)
            _ = try parser.document()
            throw FormatError.notThisKind(.descriptor)
        }
        #expect(throws: FormatError.self) { try DiskDescriptor.decode(Array(text.utf8)) }
    }

    @Test("deep nesting is refused, not followed")
    func deep() {
        let text = "{\"a\":" + String(repeating: "[", count: 60_000)
        #expect(throws: FormatError.self) { try DiskDescriptor.decode(Array(text.utf8)) }
    }

    @Test("escapes")
    func escapes() throws {
        var parser = FlatJSONParser(Array(#"{"a": "\u0041\ud83d\ude00\n\/"}"#.utf8), part: .descriptor)
        #expect(try parser.document().0 == ["a": .text("A😀\n/")])
    }

    @Test("hints round trip")
    func hints() {
        for version in [Sample.version, ObjectVersion(term: Term(1 << 40), epoch: Epoch(1 << 50))] {
            #expect(LatestHint.decode(LatestHint(version: version).encode()) == LatestHint(version: version))
        }
    }
}
