import Foundation
import Glibc
import Linux
import Testing
import VDriveControl
import VDriveProtocol
import VDriveTestKit

/// Bytes that no client should send. A failure tells its seed; VDRIVE_FUZZ_SEED plays it again, and
/// VDRIVE_FUZZ_SECONDS makes the tests run longer.
@Suite("fuzz", .serialized, .timeLimit(.minutes(60)))
struct FuzzTests {
    /// The lines that clients send in `Protocol/transcripts`.
    private static func validLines() throws -> [[UInt8]] {
        let folder = Transcript.folder
        let files = try Directory.list(folder).filter { $0.hasSuffix(".txt") }
        let lines = try files.flatMap { try readText("\(folder)/\($0)").split(separator: "\n") }
        return lines.filter { $0.hasPrefix("-> {") || $0.hasPrefix("-> [") }.map { Array($0.dropFirst(3).utf8) }
    }

    // MARK: The parser

    @Test("what the parser takes it gives back the same, and what is JSON it takes")
    func parser() throws {
        let seed = JSONMutator.seed
        print("fuzz seed: \(seed)")
        var mutator = JSONMutator(seed: seed)
        let lines = try Self.validLines()
        let end = ContinuousClock.now + JSONMutator.duration
        var taken = 0
        var refused = 0
        while ContinuousClock.now < end {
            let value = mutator.value()
            let back = try? JSONValue(parsing: value.text.utf8)
            #expect(back == value, "seed \(seed): \(value.text)")
            let bytes = mutator.mutated(mutator.pick(lines))
            guard let parsed = try? JSONValue(parsing: bytes) else {
                refused += 1
                continue
            }
            taken += 1
            #expect(try JSONValue(parsing: parsed.text.utf8) == parsed, "seed \(seed): \(parsed.text)")
            // Another parser takes it too; ours is the stricter one.
            #expect(throws: Never.self, "seed \(seed): \(parsed.text)") {
                _ = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
            }
        }
        #expect(taken > 50 && refused > 50, "\(taken) taken, \(refused) refused")
    }

    // MARK: The server

    /// Every method with its true parameters, and nothing behind: a mutated path must not be made.
    private static func fill(_ table: inout DispatchTable) {
        func add<Method: RPCMethod>(_ method: Method.Type) {
            table.add(method) { (_) throws(RPCError) in throw RPCError(.refused, "This is only a test.") }
        }
        table.add(DaemonVersion.self) { (_) throws(RPCError) in
            DaemonVersion.Output(version: "1", protocol: 1, pid: getpid())
        }
        table.add(DiskList.self) { (_) throws(RPCError) in DiskList.Output(disks: []) }
        add(DiskCreate.self)
        add(DiskImport.self)
        add(DiskConfigure.self)
        add(DiskStatusOf.self)
        add(DiskAttach.self)
        add(DiskDetach.self)
        add(DiskSync.self)
        add(DiskDestroy.self)
        add(CacheEvict.self)
        add(UploadQueueOf.self)
        add(UploadPause.self)
    }

    private static func version(_ id: Int) -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"daemon.version"}"#
    }

    /// The identifiers that a line is answered with; nil where it is not answered.
    private static func identifiers(_ line: [UInt8]) -> [JSONValue]? {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x0D }) { return nil }
        func identifier(_ call: RPCLine.Call) -> JSONValue? {
            switch call {
            case .success(let request): request.id?.json
            case .failure(let failure): failure.id.json
            }
        }
        switch try? RPCLine(parsing: line) {
        case nil: return [.null]
        case .single(let call)?: return identifier(call).map { [$0] }
        case .batch(let calls)?:
            let all = calls.compactMap(identifier)
            return all.isEmpty ? nil : all
        }
    }

    private static func answers(_ json: JSONValue) -> [JSONValue] {
        if case .array(let items) = json { items } else { [json] }
    }

    /// What is no answer of JSON-RPC; nil when all is well.
    private static func complaint(_ answer: JSONValue) -> String? {
        guard let response = RPCResponse(json: answer) else { return "no response: \(answer.text)" }
        switch response.outcome {
        case .success: return nil
        case .failure(let error):
            return error.code != nil && !error.message.isEmpty ? nil : "no error of ours: \(answer.text)"
        }
    }

    @Test("every mutated line is answered as often as it asks, and others are served meanwhile")
    func server() async throws {
        let seed = JSONMutator.seed
        print("fuzz seed: \(seed)")
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                var mutator = JSONMutator(seed: seed)
                let lines = try Self.validLines()
                let end = ContinuousClock.now + JSONMutator.duration
                let other = try RawClient(server.socket)
                var rounds = 0
                while ContinuousClock.now < end {
                    rounds += 1
                    let sent = (0..<40).map { _ in
                        mutator.number(below: 5) == 0 ? mutator.pick(lines) : mutator.mutated(mutator.pick(lines))
                    }
                    let expected = sent.compactMap(Self.identifiers).flatMap { $0 }
                    let client = try RawClient(server.socket)
                    try client.send(sent.flatMap { $0 + [UInt8(ascii: "\n")] })
                    let start = ContinuousClock.now
                    try other.send(Self.version(rounds) + "\n")
                    #expect(try other.json()?["id"] == .integer(Int64(rounds)))
                    #expect(ContinuousClock.now - start < .seconds(15), "seed \(seed): others wait")
                    client.finish()
                    var got: [JSONValue] = []
                    while let json = try client.json() { got += Self.answers(json) }
                    #expect(got.compactMap(Self.complaint) == [], "seed \(seed)")
                    let counts = got.map { $0["id"]?.text ?? "none" }.sorted()
                    #expect(counts == expected.map(\.text).sorted(), "seed \(seed), round \(rounds)")
                }
                #expect(rounds > 0)
            }
        }
    }

    @Test("binary, cut into pieces of any size, is refused line by line")
    func binary() async throws {
        let seed = JSONMutator.seed
        print("fuzz seed: \(seed)")
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                var mutator = JSONMutator(seed: seed)
                let client = try RawClient(server.socket)
                for round in 0..<50 {
                    var bytes = (0..<200).map { _ in UInt8(mutator.number(below: 256)) }
                    bytes =
                        bytes.map { $0 == UInt8(ascii: "\n") ? 0xFF : $0 } + Array("\n\(Self.version(round))\n".utf8)
                    while !bytes.isEmpty {
                        let count = min(bytes.count, 1 + mutator.number(below: 60))
                        try client.send(Array(bytes[..<count]))
                        bytes.removeFirst(count)
                    }
                    let answers = [try client.json(), try client.json()].compactMap { $0 }
                    #expect(answers.compactMap(Self.complaint) == [], "seed \(seed)")
                    let ids = Set(answers.compactMap { $0["id"] })
                    #expect(ids == [.null, .integer(Int64(round))], "seed \(seed)")
                }
            }
        }
    }

    @Test("a line just below and at the limit is read, one byte more ends the connection", arguments: [-1, 0, 1])
    func sizes(excess: Int) async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                let call = Self.version(1)
                let padding = RPCLimits.lineBytesMax + excess - call.utf8.count
                try? client.send(call + String(repeating: " ", count: padding) + "\n" + Self.version(2) + "\n")
                var ids: [JSONValue] = []
                while ids.count < 2, let json = try client.json() { ids.append(json["id"] ?? .string("none")) }
                if excess > 0 {
                    #expect(ids == [.null])
                } else {
                    #expect(Set(ids) == [.integer(1), .integer(2)])
                }
            }
        }
    }

    @Test("half a line and then silence holds nobody up, and is read when its rest comes")
    func halfLine() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let silent = try (0..<20).map { _ in try RawClient(server.socket) }
                for (id, client) in silent.enumerated() { try client.send(String(Self.version(id).prefix(25))) }
                let other = try RawClient(server.socket)
                try other.send(Self.version(99) + "\n")
                #expect(try other.json()?["id"] == .integer(99))
                for (id, client) in silent.enumerated() { try client.send(Self.version(id).dropFirst(25) + "\n") }
                for (id, client) in silent.enumerated() { #expect(try client.json()?["id"] == .integer(Int64(id))) }
            }
        }
    }

    @Test("nesting to the limit is read, beyond it refused, and the connection lives on")
    func nesting() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                for (depth, code) in [
                    (RPCLimits.nestingMax, -32602), (RPCLimits.nestingMax + 1, -32700), (100_000, -32700),
                ] {
                    // The call is a level, its parameters are another.
                    let deep = String(repeating: "[", count: depth - 2) + String(repeating: "]", count: depth - 2)
                    try client.send(
                        #"{"jsonrpc":"2.0","id":1,"method":"disk.sync","params":{"name":\#(deep)}}"# + "\n"
                    )
                    #expect(try client.json()?["error"]?["code"] == .integer(Int64(code)), "\(depth)")
                }
                try client.send(Self.version(3) + "\n")
                #expect(try client.json()?["id"] == .integer(3))
            }
        }
    }

    @Test("10,000 calls at once, one by one and in batches, are answered once each", arguments: [1, 1000])
    func flood(batch: Int) async throws {
        try await TestServer.with(Self.fill) { server in
            let client = try RawClient(server.socket)
            async let sending: Void = blocking {
                let calls = (0..<10_000).map { Self.version($0) }
                let lines = stride(from: 0, to: calls.count, by: batch).map { start in
                    batch == 1 ? calls[start] : "[\(calls[start..<start + batch].joined(separator: ","))]"
                }
                try client.send(lines.joined(separator: "\n") + "\n")
            }
            async let waited = blocking {
                // Others are served while it goes on.
                let other = try RawClient(server.socket)
                var longest = Duration.zero
                for id in 0..<20 {
                    let start = ContinuousClock.now
                    try other.send(Self.version(id) + "\n")
                    _ = try other.json()
                    longest = max(longest, ContinuousClock.now - start)
                    usleep(10_000)
                }
                return longest
            }
            try await blocking {
                var seen: Set<JSONValue> = []
                var count = 0
                while count < 10_000, let json = try client.json() {
                    for answer in Self.answers(json) {
                        count += 1
                        seen.insert(answer["id"] ?? .null)
                    }
                }
                #expect(count == 10_000 && seen.count == 10_000)
            }
            try await sending
            #expect(try await waited < .seconds(15))
        }
    }
}
