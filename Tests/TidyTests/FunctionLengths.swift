/// One function with a body.
struct FunctionSpan: Equatable {
    let name: String
    /// Counted from 1.
    let line: Int
    let length: Int
}

extension SwiftText {
    /// The functions, initialisers and subscripts that have a body, by counting braces.
    func functions() -> [FunctionSpan] {
        let tokens = self.tokens()
        var found: [FunctionSpan] = []
        for (index, token) in tokens.enumerated() where token.beginsFunction {
            if index > 0, tokens[index - 1].text == "." { continue }
            guard let open = bodyStart(in: tokens, after: index) else { continue }
            let close = matchingBrace(in: tokens, of: open)
            let name = token.text == "func" && index + 1 < tokens.count ? tokens[index + 1].text : token.text
            found.append(FunctionSpan(name: name, line: token.line, length: tokens[close].line - token.line + 1))
        }
        return found
    }

    private struct Token {
        let text: String
        let line: Int

        var beginsFunction: Bool { ["func", "init", "deinit", "subscript"].contains(text) }
        var beginsDeclaration: Bool {
            beginsFunction
                || [
                    "var", "let", "struct", "class", "enum", "actor", "extension", "protocol", "typealias", "case", "}",
                ]
                .contains(text)
        }
    }

    private func tokens() -> [Token] {
        var tokens: [Token] = []
        for (number, line) in lines.enumerated() {
            var word: [UInt8] = []
            func endWord() {
                guard !word.isEmpty else { return }
                tokens.append(Token(text: String(decoding: word, as: UTF8.self), line: number + 1))
                word = []
            }
            for byte in line {
                let isWord = byte >= 0x80 || byte == UInt8(ascii: "_") || isAlphanumeric(byte)
                if isWord {
                    word.append(byte)
                    continue
                }
                endWord()
                if byte != UInt8(ascii: " ") {
                    tokens.append(Token(text: String(decoding: [byte], as: UTF8.self), line: number + 1))
                }
            }
            endWord()
        }
        return tokens
    }

    private func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: false
        }
    }

    /// The brace that opens the body of the function at `index`; nil for a requirement of a protocol.
    private func bodyStart(in tokens: [Token], after index: Int) -> Int? {
        var depth = 0
        for place in (index + 1)..<max(index + 1, tokens.count) {
            switch tokens[place].text {
            case "(", "[": depth += 1
            case ")", "]": depth -= 1
            case "{" where depth == 0: return place
            default: if depth == 0, tokens[place].beginsDeclaration { return nil }
            }
        }
        return nil
    }

    private func matchingBrace(in tokens: [Token], of open: Int) -> Int {
        var depth = 0
        for place in open..<tokens.count {
            if tokens[place].text == "{" { depth += 1 }
            if tokens[place].text == "}" { depth -= 1 }
            if depth == 0 { return place }
        }
        return tokens.count - 1
    }
}
