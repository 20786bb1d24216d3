import Testing

/// The rules themselves, shown bad text: a check that never fires would keep nothing tidy.
@Suite("The checks see what they are for")
struct CheckTests {
    private func file(_ text: String) -> ProjectFile { ProjectFile(path: "Some.swift", text: text) }

    @Test("a file that is too long")
    func fileLength() {
        #expect(Checks.fileLength(file(String(repeating: "x\n", count: 600))).isEmpty)
        #expect(Checks.fileLength(file(String(repeating: "x\n", count: 601))).count == 1)
    }

    @Test("functions are measured from their first line to their brace")
    func functions() {
        let text = """
            protocol P {
                func required(_ x: Int) -> Int
                init(y: Int)
            }
            struct S: P {
                init(y: Int) {
                    self.init(z: "} { \\(y + { 1 }()) {")
                }
                func required(
                    _ x: Int = { 3 }()
                ) -> Int {
                    // } a comment
                    x /* { /* nested } */ */
                }
            }
            """
        #expect(
            SwiftText(text).functions() == [
                FunctionSpan(name: "init", line: 6, length: 3),
                FunctionSpan(name: "required", line: 9, length: 6),
            ]
        )
    }

    @Test("a function that is too long")
    func functionLength() {
        let body = { (count: Int) in "func f() {\n\(String(repeating: "    g()\n", count: count))}\n" }
        #expect(Checks.functionLength(file(body(68))).isEmpty)
        #expect(Checks.functionLength(file(body(69))).count == 1)
    }

    @Test("a line that is too long")
    func lineLength() {
        #expect(Checks.lineLength(file(String(repeating: "é", count: 120))).isEmpty)
        #expect(Checks.lineLength(file(String(repeating: "x", count: 121))).count == 1)
    }

    @Test("words of unfinished work, and names that only look so")
    func unfinishedWork() {
        for word in Checks.unfinished { #expect(Checks.unfinishedWork(file("// \(word): later")).count == 1) }
        #expect(Checks.unfinishedWork(file("mkdtemp(\"/tmp/a.XXXXXX\")")).isEmpty)
        #expect(Checks.unfinishedWork(file("fatal" + "Error(\"not implemented\")")).count == 1)
    }

    @Test("paths of one machine, and paths that end alike")
    func machinePaths() {
        let place = "/wo" + "rk/"
        #expect(Checks.machinePaths(file("let a = \"\(place)main\"")).count == 1)
        #expect(Checks.machinePaths(file("let a = \"\\(scratch)\(place)main\"")).isEmpty)
        #expect(Checks.machinePaths(file("let a = \"some\(place)main\"")).isEmpty)
    }

    @Test("sharing without a reason")
    func unprovenSharing() {
        let mark = "final class A: @unchecked Sendable {}"
        #expect(Checks.unprovenSharing(file(mark)).count == 1)
        #expect(Checks.unprovenSharing(file("// SAFETY: read only.\n" + mark)).isEmpty)
        let gap = String(repeating: "\n", count: 7)
        #expect(Checks.unprovenSharing(file("// SAFETY: read only.\n\(gap)\(mark)")).count == 1)
        #expect(Checks.unprovenSharing(file("// why @unchecked Sendable is not needed")).isEmpty)
    }

    @Test("clocks and dice")
    func hiddenInputs() {
        #expect(Checks.hiddenInputs(file("let now = Date()")).count == 1)
        #expect(Checks.hiddenInputs(file("let x = Int.random(in: 0..<9)")).count == 1)
        #expect(Checks.hiddenInputs(file("let x = Int.random(in: 0..<9, using: &generator)")).isEmpty)
        #expect(Checks.hiddenInputs(file("try await Task.sleep(for: .seconds(1))")).count == 1)
    }

    @Test("imports of every shape")
    func imports() {
        let text = """
            import Glibc
            package import VDriveModel
            @testable internal import VDriveStore
            import struct Foundation.URL
            let x = "import Nothing"  // import Neither
            """
        #expect(SwiftText(text).imports() == ["Glibc", "VDriveModel", "VDriveStore", "Foundation"])
    }
}
