import Testing
import VDriveControl
import VDriveProtocol

@Suite("dispatch")
struct DispatchTests {
    private func table() -> DispatchTable {
        var table = DispatchTable()
        table.add(DaemonVersion.self) { (_) throws(RPCError) in
            DaemonVersion.Output(version: "1", protocol: 1, pid: 7)
        }
        table.add(CacheEvict.self) { (params) throws(RPCError) in
            guard params.target.name == "a" else { throw RPCError(.notFound, "There is no disk.") }
            return CacheEvict.Output(evictedBytes: params.wait == true ? 1 << 60 : 1)
        }
        return table
    }

    private func answer(_ line: String) async throws -> String? {
        switch try RPCLine(parsing: line.utf8) {
        case .single(let call): await table().answer(call)?.line
        case .batch(let calls): await table().answer(calls)?.line
        }
    }

    private func code(_ line: String) async throws -> Int? {
        let answer = try #require(try await answer(line))
        guard case .integer(let code)? = try JSONValue(parsing: answer.utf8)["error"]?["code"] else { return nil }
        return Int(code)
    }

    @Test("a call is answered with its own identifier", arguments: ["1", "\"x\"", "null", "2.5", "-3"])
    func answers(id: String) async throws {
        let answer = try await answer(#"{"jsonrpc":"2.0","id":\#(id),"method":"daemon.version"}"#)
        #expect(answer == #"{"id":\#(id),"jsonrpc":"2.0","result":{"pid":7,"protocol":1,"version":"1"}}"#)
    }

    @Test("numbers are exact")
    func exact() async throws {
        let line = #"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":"a","wait":true}}"#
        let result = #"{"dirtyBytes":null,"evictedBytes":1152921504606846976,"pinnedBytes":null}"#
        #expect(try await answer(line) == #"{"id":1,"jsonrpc":"2.0","result":\#(result)}"#)
    }

    @Test(
        "what is wrong has its code",
        arguments: [
            (#"{"id":1,"method":"daemon.version"}"#, -32600),
            (#"{"jsonrpc":"1.0","id":1,"method":"daemon.version"}"#, -32600),
            (#"{"jsonrpc":"2.0","id":1}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
            (#"{"jsonrpc":"2.0","id":[1],"method":"daemon.version"}"#, -32600), ("7", -32600), (#""x""#, -32600),
            (#"{"jsonrpc":"2.0","id":1,"method":"daemon.version","params":7}"#, -32600),
            (#"{"jsonrpc":"2.0","id":1,"method":"daemon.version","extra":7}"#, -32600),
            (#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, -32601),
            (#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32601),
            (#"{"jsonrpc":"2.0","id":1,"method":"daemon.version","params":[1]}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"daemon.version","params":{"x":1}}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"cache.evict"}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":7}}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":"a","wait":"yes"}}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":"a","wiat":true}}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":"b"}}"#, -32007),
        ]
    )
    func errors(line: String, code: Int) async throws {
        #expect(try await self.code(line) == code)
    }

    @Test("an error says its kind in a word")
    func kind() async throws {
        let line = try await answer(#"{"jsonrpc":"2.0","id":1,"method":"cache.evict","params":{"name":"b"}}"#)
        let json = try JSONValue(parsing: try #require(line).utf8)
        #expect(json["error"]?["data"]?["kind"] == .string("notFound"))
        #expect(json["error"]?["message"] == .string("There is no disk."))
    }

    @Test("notifications are not answered, not even with errors")
    func notifications() async throws {
        #expect(try await answer(#"{"jsonrpc":"2.0","method":"daemon.version"}"#) == nil)
        #expect(try await answer(#"{"jsonrpc":"2.0","method":"no.such"}"#) == nil)
        #expect(try await answer(#"[{"jsonrpc":"2.0","method":"no.such"}]"#) == nil)
    }

    @Test("a batch has one answer for each call that wants one")
    func batches() async throws {
        let line = try await answer(
            #"[{"jsonrpc":"2.0","id":1,"method":"daemon.version"},{"jsonrpc":"2.0","method":"daemon.version"},7,"#
                + #"{"jsonrpc":"2.0","id":2,"method":"no.such"}]"#
        )
        guard case .array(let answers) = try JSONValue(parsing: try #require(line).utf8) else {
            Issue.record("no batch")
            return
        }
        #expect(Set(answers.compactMap { $0["id"] }) == [.integer(1), .integer(2), .null])
    }

    @Test("lines that are not understood as a whole", arguments: ["", "{", "[]", "nonsense", "[1,"])
    func lines(text: String) {
        #expect(throws: RPCError.self) { try RPCLine(parsing: text.utf8) }
    }

    @Test("codes are stable and have words of their own")
    func codes() {
        #expect(Set(ErrorCode.allCases.map(\.kind)).count == ErrorCode.allCases.count)
        let ours: [ErrorCode: Int] = [
            .retry: -32001, .fixConfiguration: -32002, .fenced: -32003, .diverged: -32004, .corrupt: -32005,
            .outOfSpace: -32006, .notFound: -32007, .exists: -32008, .busy: -32009, .refused: -32010,
        ]
        for (code, number) in ours { #expect(code.rawValue == number) }
    }
}
