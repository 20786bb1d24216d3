import Testing
import VDriveClient

@testable import vdrivectl

/// What is shown to people cannot steer their terminal.
@Suite("text for people")
struct PlainTextTests {
    @Test("what steers a terminal is written in letters, all else stays")
    func plain() {
        for plain in ["", "films", "\u{E9}e\u{301}", "a\\nb", "\u{1F468}\u{200D}\u{1F469}", "\u{A0}\u{FF}\u{5D0}"] {
            #expect(Array(plain.plain.utf8) == Array(plain.utf8))
        }
        #expect("x\n\u{1B}[31my\r\t\0\u{7F}".plain == #"x\n\x1B[31my\r\t\x00\x7F"#)
        #expect("\r\n".plain == #"\r\n"#, "one character of two")
        #expect("\u{9B}31m\u{80}\u{9F}".plain == #"\x9B31m\x80\x9F"#)
        #expect("\u{202E}a\u{2066}b\u{200F}c\u{61C}d".plain == #"\u202Ea\u2066b\u200Fc\u061Cd"#)
        #expect("a\u{2028}b\u{2029}".plain == #"a\u2028b\u2029"#)
        #expect("e\u{301}\u{202C}".plain == "e\u{301}" + #"\u202C"#)
        let twice = "\n\u{1B}".plain
        #expect(twice.plain == twice)
    }

    @Test("a table has its rows, whatever is in its cells")
    func table() {
        // As on a terminal; what is painted is ours.
        var table = Table(columns: ["SIZE", "PATH"], style: .standardOutput)
        table.add(["1\n2", "x\n\u{1B}[31my"])
        table.add(["3", "\u{9B}z"])
        #expect(table.text == "SIZE  PATH\n" + #"1\n2  x\n\x1B[31my"# + "\n" + #"3     \x9Bz"#)
    }

    @Test("a sentence's own words stay, and what it quotes is made plain")
    func sentence() {
        let name = "a\nb"
        var shown: Shown = "first\nevicted \(1) of \(name)"
        shown += "; \(Shown("own\n\(name)"))"
        #expect(shown.text == "first\nevicted 1 of a" + #"\nb; own"# + "\na" + #"\nb"#)
        #expect(Shown(lines: ["x", "\(name)"]).text == "x\na" + #"\nb"#)
    }
}
