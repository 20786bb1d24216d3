/// Reads XML as a row of tags and texts: as much of the language as WebDAV servers use, and strict within it.
///
/// A document type is refused, for it could define entities that grow without bounds. Names lose their prefix,
/// attributes are passed over.
struct XMLScanner {
    enum Token: Equatable {
        case start(String)
        case end(String)
        case text(String)
    }

    struct Malformed: Error {
        var reason: String
    }

    /// Deeper than any multistatus, and low enough for hostile ones.
    private static let depthMax = 64

    private let bytes: [UInt8]
    private var position = 0
    private var open: [[UInt8]] = []
    private var pendingEnd: String?

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        // A byte order mark.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The next token, or nil at the end of a complete document.
    mutating func next() throws(Malformed) -> Token? {
        if let name = pendingEnd {
            pendingEnd = nil
            return .end(name)
        }
        while position < bytes.count {
            guard bytes[position] == UInt8(ascii: "<") else { return .text(try text()) }
            if try skip("<!--", upTo: "-->") { continue }
            if try skip("<?", upTo: "?>") { continue }
            if starts(with: "<![CDATA[") { return .text(try cdata()) }
            if starts(with: "<!") { throw Malformed(reason: "a document type") }
            if starts(with: "</") { return try endTag() }
            return try startTag()
        }
        guard open.isEmpty else { throw Malformed(reason: "cut off") }
        return nil
    }

    private func starts(with text: StaticString) -> Bool {
        bytes[position...].starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The index of the next occurrence of `text`.
    private func find(_ text: String) throws(Malformed) -> Int {
        let found = bytes[position...].firstRange(of: Array(text.utf8))
        guard let found else { throw Malformed(reason: "cut off") }
        return found.lowerBound
    }

    private mutating func skip(_ opening: StaticString, upTo closing: String) throws(Malformed) -> Bool {
        guard starts(with: opening) else { return false }
        position += opening.utf8CodeUnitCount
        position = try find(closing) + closing.utf8.count
        return true
    }

    private mutating func cdata() throws(Malformed) -> String {
        position += 9
        let end = try find("]]>")
        defer { position = end + 3 }
        return String(decoding: bytes[position..<end], as: UTF8.self)
    }

    private mutating func endTag() throws(Malformed) -> Token {
        position += 2
        let name = try self.name()
        skipBlanks()
        guard position < bytes.count, bytes[position] == UInt8(ascii: ">") else { throw Malformed(reason: "a bad tag") }
        position += 1
        guard open.popLast() == name else { throw Malformed(reason: "tags that do not match") }
        return .end(localName(name))
    }

    private mutating func startTag() throws(Malformed) -> Token {
        position += 1
        let name = try self.name()
        let isEmpty = try skipAttributes()
        if isEmpty {
            pendingEnd = localName(name)
        } else {
            open.append(name)
            guard open.count <= Self.depthMax else { throw Malformed(reason: "nested too deeply") }
        }
        return .start(localName(name))
    }

    /// - Returns: whether the tag ends with a slash: an element without contents.
    private mutating func skipAttributes() throws(Malformed) -> Bool {
        var quote: UInt8?
        var last: UInt8 = 0
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                quote = byte
            } else if byte == UInt8(ascii: ">") {
                return last == UInt8(ascii: "/")
            } else if byte == UInt8(ascii: "<") {
                throw Malformed(reason: "a bad tag")
            }
            last = byte
        }
        throw Malformed(reason: "cut off")
    }

    private mutating func name() throws(Malformed) -> [UInt8] {
        let start = position
        while position < bytes.count, isNameByte(bytes[position]) { position += 1 }
        guard position > start else { throw Malformed(reason: "a tag without a name") }
        return Array(bytes[start..<position])
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        isUnreserved(byte) && byte != UInt8(ascii: "~") || byte == UInt8(ascii: ":") || byte >= 0x80
    }

    private func localName(_ name: [UInt8]) -> String {
        String(decoding: name.split(separator: UInt8(ascii: ":")).last ?? [], as: UTF8.self)
    }

    private mutating func skipBlanks() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func text() throws(Malformed) -> String {
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "<")) ?? bytes.count
        defer { position = end }
        let raw = bytes[position..<end]
        if !raw.contains(UInt8(ascii: "&")) { return String(decoding: raw, as: UTF8.self) }
        var result = ""
        var rest = raw
        while let ampersand = rest.firstIndex(of: UInt8(ascii: "&")) {
            result += String(decoding: rest[..<ampersand], as: UTF8.self)
            rest = rest[(ampersand + 1)...]
            let semicolon = rest.firstIndex(of: UInt8(ascii: ";"))
            guard let semicolon else { throw Malformed(reason: "a bad entity") }
            result.unicodeScalars.append(try entity(String(decoding: rest[..<semicolon], as: UTF8.self)))
            rest = rest[(semicolon + 1)...]
        }
        return result + String(decoding: rest, as: UTF8.self)
    }

    private func entity(_ name: String) throws(Malformed) -> Unicode.Scalar {
        switch name {
        case "amp": return "&"
        case "lt": return "<"
        case "gt": return ">"
        case "quot": return "\""
        case "apos": return "'"
        default: break
        }
        let isHexadecimal = name.hasPrefix("#x")
        guard name.hasPrefix("#"),
            let number = UInt32(name.dropFirst(isHexadecimal ? 2 : 1), radix: isHexadecimal ? 16 : 10),
            let scalar = Unicode.Scalar(number)
        else { throw Malformed(reason: "an unknown entity") }
        return scalar
    }
}
