import Testing
import VDriveProtocol

@Suite("JSON")
struct JSONTests {
    private func parse(_ text: String) throws(JSONSyntaxError) -> JSONValue { try JSONValue(parsing: text.utf8) }

    @Test(
        "what RFC 8259 allows is read",
        arguments: [
            ("null", JSONValue.null), (" [ ] ", .array([])), ("{}", .object([:])), ("-0", .integer(0)),
            ("1e3", .number(1000)), ("-12.5", .number(-12.5)), (#""a\n\u00e9\ud83d\ude00\/""#, .string("a\né😀/")),
            (
                #"{"a":[1,true,{"b":null}]}"#,
                .object(["a": .array([.integer(1), .boolean(true), .object(["b": .null])])])
            ),
        ]
    )
    func reads(text: String, value: JSONValue) throws {
        #expect(try parse(text) == value)
        #expect(try parse(value.text) == value)
    }

    @Test(
        "what it does not allow is refused",
        arguments: [
            "", " ", "nul", "nulll", "01", "1.", ".5", "+1", "1e", "-", "[1,]", "[1 2]", "{a:1}", #"{"a"}"#,
            #"{"a":1,}"#,
            #""a"#, #""\x""#, #""\ud800""#, #""\ud800\u0041""#, #""\u12g4""#, "\"\u{1}\"", "[", "{", "]", "1 2", "'a'",
            "NaN", "1e999", #"{"a":1,"a":2}"#,
        ]
    )
    func refuses(text: String) {
        #expect(throws: JSONSyntaxError.self) { try parse(text) }
    }

    @Test("bytes that are not UTF-8 are refused")
    func refusesBrokenUTF8() {
        #expect(throws: JSONSyntaxError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
    }

    @Test("nesting is bounded, and deep nesting harms nobody")
    func boundsNesting() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(RPCLimits.nestingMax))
        #expect(throws: JSONSyntaxError.self) { try parse(nested(RPCLimits.nestingMax + 1)) }
        #expect(throws: JSONSyntaxError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
    }

    private static let sizes: [UInt64] = [
        0, 1, 9_007_199_254_740_993, 1_152_921_504_606_846_976, 1_152_921_504_606_846_975, UInt64(Int64.max),
    ]

    @Test("sizes up to 2^60 survive exactly", arguments: sizes)
    func keepsSizes(bytes: UInt64) throws {
        let params = DiskCreate.Parameters(name: "a", sizeBytes: bytes, remote: "file:///x", cacheBytes: bytes)
        let line = RPCRequest(id: .integer(1), method: "disk.create", params: try JSONValue(encoding: params)).line
        let back = try RPCRequest(json: try parse(line))
        #expect(try DiskCreate.Parameters(strictly: back.params) == params)
    }

    @Test("random bytes are read or refused, never more", arguments: 1...20)
    func survivesNoise(seed: UInt64) {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        let alphabet = Array(#"{}[]":,0123456789.eE+-truefalsn\u"#.utf8) + [0xC3, 0xA9, 0x00, 0x20, 0xFF]
        for _ in 0..<2000 {
            let text = (0..<Int(next() % 40)).map { _ in alphabet[Int(next() % UInt64(alphabet.count))] }
            if let value = try? JSONValue(parsing: text) {
                let again = try? JSONValue(parsing: value.text.utf8)
                #expect(again == value, "seed \(seed): \(text)")
            }
        }
    }
}

@Suite("status")
struct DiskStatusTests {
    @Test("every field is there, with null for what is not known")
    func hasAllFields() throws {
        let status = DiskStatus(
            name: "a",
            uuid: "u",
            state: .detached,
            sizeBytes: 1 << 60,
            chunkBytes: 1 << 22,
            durability: .remote,
            uploadIntervalSeconds: 0.25,
            cachePolicy: .lru,
            cacheLimitBytes: 1 << 30,
            remoteURL: "file:///x"
        )
        let json = try JSONValue(encoding: status)
        for key in [
            "name", "uuid", "state", "image", "device", "mountPoint", "filesystem", "sizeBytes", "chunkBytes", "term",
            "epoch", "durability", "uploadIntervalSeconds", "cachePolicy", "cache", "upload", "allocatedBytes",
            "remote", "lastError",
        ] { #expect(json[key] != nil, "\(key)") }
        #expect(json["cache"]?["limitBytes"] == .integer(1 << 30))
        #expect(json["cache"]?["usedBytes"] == .null)
        #expect(json["cache"]?["dirtyBytes"] == .null)
        #expect(json["upload"]?["pendingBytes"] == .null)
        #expect(json["remote"]?["url"] == .string("file:///x"))
        #expect(json["remote"]?["state"] == .null)
        #expect(json["sizeBytes"] == .integer(1 << 60))
        #expect(try json.decode(DiskStatus.self) == status)
    }
}
