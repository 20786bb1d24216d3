import NIOCore
import Testing
import VDriveControl

@Suite("lines")
struct LineFramerTests {
    private func lines(_ chunks: [String], max: Int = 16) -> [InboundLine] {
        var framer = LineFramer(lineBytesMax: max)
        var buffer = ByteBuffer()
        var lines: [InboundLine] = []
        for chunk in chunks {
            buffer.writeString(chunk)
            while let line = framer.next(&buffer) { lines.append(line) }
        }
        return lines
    }

    private func line(_ text: String) -> InboundLine { .line(ByteBuffer(string: text)) }

    @Test("lines are cut wherever the bytes were cut")
    func cuts() {
        #expect(lines(["a\nbc\n"]) == [line("a"), line("bc")])
        #expect(lines(["a", "", "b\nc", "\n", "d"]) == [line("ab"), line("c")])
        #expect(lines("ab\ncd\n".map { String($0) }) == [line("ab"), line("cd")])
    }

    @Test("empty lines are skipped")
    func skipsEmpty() {
        #expect(lines(["\n\r\n \n", "a\r\n"]) == [line("a\r")])
    }

    @Test("a line of the longest kind passes, one byte more ends the connection")
    func bounds() {
        let longest = String(repeating: "x", count: 16)
        #expect(lines([longest + "\n", "b\n"]) == [line(longest), line("b")])
        #expect(lines(["a\n", longest + "x", "\nb\n"]) == [line("a"), .tooLong])
        #expect(lines([longest + "x\nb\n"]) == [.tooLong])
    }
}
