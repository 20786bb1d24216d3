/// What is wrong with a JSON text, and where.
package struct JSONSyntaxError: Error, Equatable, CustomStringConvertible {
    /// Counted in bytes from the start of the text.
    package let position: Int
    package let reason: String

    package var description: String { "\(reason) at byte \(position)" }
}

/// A strict recursive-descent reader of RFC 8259, bounded in depth so that no input can exhaust the stack.
struct JSONParser {
    let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Reads the whole text as one value.
    mutating func document() throws(JSONSyntaxError) -> JSONValue {
        let value = try value()
        skipSpace()
        guard at == bytes.count else { throw error("unexpected text after the value") }
        return value
    }

    private func error(_ reason: String) -> JSONSyntaxError { JSONSyntaxError(position: at, reason: reason) }

    private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { at += 1 }
    }

    private mutating func value() throws(JSONSyntaxError) -> JSONValue {
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return try nested { (parser) throws(JSONSyntaxError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { (parser) throws(JSONSyntaxError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case nil: throw error("unexpected end")
        case let byte?:
            guard byte == UInt8(ascii: "-") || Self.isDigit(byte) else { throw error("unexpected character") }
            return try number()
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private mutating func nested(
        _ body: (inout JSONParser) throws(JSONSyntaxError) -> JSONValue
    ) throws(JSONSyntaxError) -> JSONValue {
        depth += 1
        guard depth <= RPCLimits.nestingMax else { throw error("nested deeper than \(RPCLimits.nestingMax) levels") }
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        let count = word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { bytes[at...].prefix(count).elementsEqual($0) }
        guard matches else { throw error("unexpected character") }
        at += count
        return value
    }

    private mutating func object() throws(JSONSyntaxError) -> JSONValue {
        at += 1
        var fields: [String: JSONValue] = [:]
        skipSpace()
        if current == UInt8(ascii: "}") {
            at += 1
            return .object(fields)
        }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw error("expected a key") }
            let key = try string()
            skipSpace()
            guard current == UInt8(ascii: ":") else { throw error("expected a colon") }
            at += 1
            guard fields.updateValue(try value(), forKey: key) == nil else { throw error("the key is repeated") }
            guard try more(until: UInt8(ascii: "}")) else { return .object(fields) }
        }
    }

    private mutating func array() throws(JSONSyntaxError) -> JSONValue {
        at += 1
        var items: [JSONValue] = []
        skipSpace()
        if current == UInt8(ascii: "]") {
            at += 1
            return .array(items)
        }
        while true {
            items.append(try value())
            guard try more(until: UInt8(ascii: "]")) else { return .array(items) }
        }
    }

    /// Steps over a comma (true) or the closing bracket (false).
    private mutating func more(until end: UInt8) throws(JSONSyntaxError) -> Bool {
        skipSpace()
        switch current {
        case UInt8(ascii: ","):
            at += 1
            return true
        case end:
            at += 1
            return false
        case nil: throw error("unexpected end")
        default: throw error("expected a comma or the end of the list")
        }
    }

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = at
        if current == UInt8(ascii: "-") { at += 1 }
        let whole = digits()
        guard whole > 0 else { throw error("expected a digit") }
        guard whole == 1 || bytes[at - whole] != UInt8(ascii: "0") else { throw error("a number starts with zero") }
        var isWhole = true
        if current == UInt8(ascii: ".") {
            isWhole = false
            at += 1
            guard digits() > 0 else { throw error("expected a digit") }
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            isWhole = false
            at += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { at += 1 }
            guard digits() > 0 else { throw error("expected a digit") }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isWhole, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw error("the number is out of range") }
        return .number(value)
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = current, Self.isDigit(byte) { at += 1 }
        return at - start
    }

    private mutating func string() throws(JSONSyntaxError) -> String {
        at += 1
        var text: [UInt8] = []
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw error("the text is not UTF-8") }
                at += 1
                return string
            case UInt8(ascii: "\\"):
                at += 1
                try escape(into: &text)
            case 0..<0x20: throw error("a control character in a string")
            default:
                text.append(byte)
                at += 1
            }
        }
        throw error("unexpected end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONSyntaxError) {
        guard let byte = current else { throw error("unexpected end") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try scalar()).utf8)
        default: throw error("unknown escape")
        }
    }

    /// Reads the digits of `\uXXXX`, and of the second half where the first is a high surrogate.
    private mutating func scalar() throws(JSONSyntaxError) -> Character {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return Character(scalar) }
        guard (0xD800..<0xDC00).contains(first), bytes[at...].starts(with: "\\u".utf8) else {
            throw error("half a surrogate pair")
        }
        at += 2
        let second = try fourDigits()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw error("half a surrogate pair") }
        return Character(scalar)
    }

    private mutating func fourDigits() throws(JSONSyntaxError) -> UInt32 {
        let digits = bytes[at...].prefix(4)
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw error("expected four hexadecimal digits") }
        at += 4
        return value
    }
}
