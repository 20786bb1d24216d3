import Testing

@testable import vdrive_cachesim

@Suite("Traces")
struct TraceTests {
    private func parse(_ text: String) throws(TraceError) -> Trace { try Trace(text: Array(text.utf8), path: "x.csv") }

    @Test("what is written is read back", arguments: TraceForm.allCases)
    func roundTrip(form: TraceForm) throws {
        var maker = TraceMaker(chunkBytes: 65_536, chunks: 20, seed: 3)
        maker.scanRequests = 3
        let trace = maker.make(form, requests: 500)
        #expect(trace.requests.count >= 500 && trace.requests.count <= 501)
        #expect(try parse(trace.text(comment: "made")) == trace)
        var again = TraceMaker(chunkBytes: 65_536, chunks: 20, seed: 3)
        again.scanRequests = 3
        #expect(again.make(form, requests: 500) == trace)
    }

    @Test("comments, empty lines, spaces and a line end of DOS are read")
    func reads() throws {
        let trace = try parse("# a comment\n\n0.5, 4096 ,512\r\n1,0,1")
        #expect(
            trace.requests == [
                Trace.Request(time: 0.5, offset: 4096, length: 512), Trace.Request(time: 1, offset: 0, length: 1),
            ]
        )
    }

    @Test(
        "a line that is no request is refused, with its number",
        arguments: [
            "1,2", "1,2,3,4", "x,2,3", "nan,2,3", "1,-2,3", "1,2,0", "1,2,1073741825", "1,2,3.5",
            "1,18446744073709551615,1", ",",
        ]
    )
    func refuses(line: String) {
        let error = #expect(throws: TraceError.self) { try parse("0,0,1\n\(line)\n") }
        #expect(error?.sentence.hasPrefix("x.csv:2: not a request") == true)
    }

    @Test("a request counts once for each chunk that it touches")
    func accesses() throws {
        let trace = try parse("0,65535,2\n0,0,65536\n0,196608,131072\n0,65536,1")
        let accesses = Accesses(trace, chunkBytes: 65_536)
        #expect(accesses.order == [0, 1, 0, 2, 3, 1])
        #expect(accesses.distinct == 4)
    }
}
