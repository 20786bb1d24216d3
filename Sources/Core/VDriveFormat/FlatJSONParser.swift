/// A strict reader of one JSON object (RFC 8259) whose members of interest are strings and whole numbers.
///
/// Other values, nested ones too, are checked for their syntax and passed over, so that the version of a future
/// document can be read whatever else is in it.
struct FlatJSONParser {
    private static let depthMax = 16

    private let part: FormatPart
    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8], part: FormatPart) {
        self.bytes = bytes
        self.part = part
    }

    /// - Returns: the members, and the offset of each key's opening quote.
    mutating func document() throws(FormatError) -> ([String: FlatJSON.Value], keyOffsets: [String: Int]) {
        var members: [String: FlatJSON.Value] = [:]
        var offsets: [String: Int] = [:]
        skipSpace()
        try expect("{")
        repeat {
            skipSpace()
            let offset = at
            let key = try string()
            skipSpace()
            try expect(":")
            guard members.updateValue(try value(depth: 0), forKey: key) == nil else { throw fault }
            offsets[key] = offset
            skipSpace()
        } while take(",")
        try expect("}")
        skipSpace()
        guard at == bytes.count else { throw fault }
        return (members, offsets)
    }

    private var fault: FormatError {
        at < bytes.count ? .malformed(part, "it is no JSON of ours at byte \(at)") : .truncated(part)
    }

    private mutating func value(depth: Int) throws(FormatError) -> FlatJSON.Value {
        guard depth < Self.depthMax else { throw .malformed(part, "it is nested too deeply") }
        skipSpace()
        guard at < bytes.count else { throw fault }
        switch UnicodeScalar(bytes[at]) {
        case "\"": return .text(try string())
        case "0"..."9", "-": return try number()
        case "{":
            try skipList(close: "}", depth: depth, keyed: true)
        case "[":
            try skipList(close: "]", depth: depth, keyed: false)
        default:
            guard let word = ["true", "false", "null"].first(where: { bytes[at...].starts(with: $0.utf8) }) else {
                throw fault
            }
            at += word.utf8.count
        }
        return .other
    }

    private mutating func skipList(close: UnicodeScalar, depth: Int, keyed: Bool) throws(FormatError) {
        at += 1
        skipSpace()
        if take(close) { return }
        repeat {
            skipSpace()
            if keyed {
                _ = try string()
                skipSpace()
                try expect(":")
            }
            _ = try value(depth: depth + 1)
            skipSpace()
        } while take(",")
        try expect(close)
    }

    private mutating func number() throws(FormatError) -> FlatJSON.Value {
        let start = at
        let negative = take("-")
        let digits = try takeDigits()
        guard digits.count == 1 || bytes[digits.lowerBound] != UInt8(ascii: "0") else { throw fault }
        if take(".") { _ = try takeDigits() }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            _ = try takeDigits()
        }
        guard !negative, digits == start..<at else { return .other }
        return UInt64(String(decoding: bytes[digits], as: UTF8.self)).map { .number($0) } ?? .other
    }

    private mutating func takeDigits() throws(FormatError) -> Range<Int> {
        let start = at
        while at < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        guard at > start else { throw fault }
        return start..<at
    }

    private mutating func string() throws(FormatError) -> String {
        try expect("\"")
        var units: [UInt8] = []
        while at < bytes.count {
            let byte = bytes[at]
            switch UnicodeScalar(byte) {
            case "\"":
                at += 1
                guard let text = String(validating: units, as: UTF8.self) else { throw fault }
                return text
            case "\\":
                at += 1
                units.append(contentsOf: String(try escape()).utf8)
            case "\u{0}"..."\u{1F}": throw fault
            default:
                units.append(byte)
                at += 1
            }
        }
        throw fault
    }

    private mutating func escape() throws(FormatError) -> UnicodeScalar {
        guard at < bytes.count else { throw fault }
        let plain: [UnicodeScalar: UnicodeScalar] = [
            "\"": "\"", "\\": "\\", "/": "/", "b": "\u{8}", "f": "\u{C}", "n": "\n", "r": "\r", "t": "\t",
        ]
        let letter = UnicodeScalar(bytes[at])
        at += 1
        if let scalar = plain[letter] { return scalar }
        guard letter == "u" else { throw fault }
        let unit = try hexadecimalUnit()
        // A scalar beyond the first plane comes as two escapes, a high and a low surrogate.
        guard (0xD800...0xDBFF).contains(unit) else {
            guard let scalar = UnicodeScalar(unit) else { throw fault }
            return scalar
        }
        try expect("\\")
        try expect("u")
        let low = try hexadecimalUnit()
        guard (0xDC00...0xDFFF).contains(low),
            let scalar = UnicodeScalar(0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00))
        else { throw fault }
        return scalar
    }

    private mutating func hexadecimalUnit() throws(FormatError) -> UInt16 {
        guard at + 4 <= bytes.count else { throw fault }
        var unit: UInt16 = 0
        for byte in bytes[at..<at + 4] {
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else { throw fault }
            unit = unit << 4 | UInt16(digit)
        }
        at += 4
        return unit
    }

    private mutating func skipSpace() {
        while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
    }

    private mutating func take(_ character: UnicodeScalar) -> Bool {
        guard at < bytes.count, UnicodeScalar(bytes[at]) == character else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ character: UnicodeScalar) throws(FormatError) {
        guard take(character) else { throw fault }
    }
}
