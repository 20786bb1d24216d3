/// A Swift file without its words: comments and the contents of string literals are blanked, lines and columns stay.
///
/// It knows line and nested block comments, strings of one or many lines, raw strings and interpolations. It does not
/// know regex literals: none of ours contains a quote or a brace.
struct SwiftText {
    /// The code, line by line, as long as the raw lines.
    let lines: [[UInt8]]

    init(_ text: String) {
        var mask = Mask(bytes: Array(text.utf8))
        mask.run()
        lines = mask.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
    }

    func line(_ index: Int) -> String { String(decoding: lines[index], as: UTF8.self) }
}

/// The scanner behind SwiftText.
private struct Mask {
    var bytes: [UInt8]
    private var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func run() {
        while at < bytes.count { step() }
    }

    /// One token of code: a comment or a string is blanked, anything else is passed over.
    private mutating func step() {
        if starts("//") {
            blank { $0.starts("\n") }
        } else if starts("/*") {
            blockComment()
        } else if starts("\"") || starts("#") {
            string()
        } else {
            at += 1
        }
    }

    private func starts(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard at + length <= bytes.count else { return false }
        return (0..<length).allSatisfy { bytes[at + $0] == word.utf8Start[$0] }
    }

    private mutating func hide(_ count: Int) {
        for _ in 0..<count where at < bytes.count {
            if bytes[at] != UInt8(ascii: "\n") { bytes[at] = UInt8(ascii: " ") }
            at += 1
        }
    }

    private mutating func blank(until ended: (Self) -> Bool) {
        while at < bytes.count, !ended(self) { hide(1) }
    }

    private mutating func blockComment() {
        var depth = 0
        repeat {
            if starts("/*") {
                depth += 1
                hide(2)
            } else if starts("*/") {
                depth -= 1
                hide(2)
            } else {
                hide(1)
            }
        } while depth > 0 && at < bytes.count
    }

    /// A string, raw or not; a `#` that begins none (a directive, a macro) is passed over.
    private mutating func string() {
        var hashes = 0
        while at + hashes < bytes.count, bytes[at + hashes] == UInt8(ascii: "#") { hashes += 1 }
        guard at + hashes < bytes.count, bytes[at + hashes] == UInt8(ascii: "\"") else {
            at += hashes
            return
        }
        hide(hashes)
        let quotes = starts("\"\"\"") ? 3 : 1
        hide(quotes)
        while at < bytes.count {
            if closes(quotes: quotes, hashes: hashes) {
                hide(quotes + hashes)
                return
            }
            if bytes[at] == UInt8(ascii: "\\"), isEscape(hashes: hashes) {
                hide(1 + hashes)
                if starts("(") { interpolation() } else { hide(1) }
            } else {
                hide(1)
            }
        }
    }

    private func closes(quotes: Int, hashes: Int) -> Bool {
        guard at + quotes + hashes <= bytes.count else { return false }
        return bytes[at..<(at + quotes)].allSatisfy { $0 == UInt8(ascii: "\"") }
            && bytes[(at + quotes)..<(at + quotes + hashes)].allSatisfy { $0 == UInt8(ascii: "#") }
    }

    private func isEscape(hashes: Int) -> Bool {
        at + hashes < bytes.count && bytes[(at + 1)..<(at + 1 + hashes)].allSatisfy { $0 == UInt8(ascii: "#") }
    }

    /// From the parenthesis to its partner; strings within are strings again.
    private mutating func interpolation() {
        var depth = 0
        repeat {
            if starts("(") { depth += 1 }
            if starts(")") { depth -= 1 }
            if starts("\"") { string() } else { hide(1) }
        } while depth > 0 && at < bytes.count
    }
}
