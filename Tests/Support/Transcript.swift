internal import Foundation
internal import Glibc
internal import VDriveProtocol

/// One file of `Protocol/transcripts/`; their README.md tells the lines.
package struct Transcript: Sendable, CustomStringConvertible {
    private enum Sent: Sendable {
        case bytes([UInt8])
        case end
        case wait(milliseconds: UInt32)
    }

    private struct Exchange: Sendable {
        /// Where it begins, counted from 1.
        let line: Int
        var sent: [Sent] = []
        var expected: [JSONValue] = []
        var endsConnection = false
    }

    package let name: String
    /// All methods that it calls and gets a result of.
    package private(set) var methods: Set<String> = []
    private var exchanges: [Exchange] = []

    package var description: String { name }

    package static let folder = "\(ProtocolDocument.folder)/transcripts"

    /// All of them, by name.
    package static func all(folder: String) throws -> [Transcript] {
        let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.hasSuffix(".txt") }
        return try names.sorted().map { name in
            let text = try String(contentsOfFile: "\(Self.folder)/\(name)", encoding: .utf8)
            return try Transcript(name: name, text: text.replacingOccurrences(of: "$FOLDER", with: folder))
        }
    }

    /// Puts there what the transcripts find: the disk of the example in FORMAT.md.
    package static func prepare(folder: String) throws {
        let text = try String(contentsOfFile: "\(ProtocolDocument.folder)/FORMAT.md", encoding: .utf8)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let middle = lines.firstIndex(where: { $0.contains(#""format": "vdrive disk""#) }),
            let end = lines[middle...].firstIndex(of: "    }")
        else { throw ProtocolDocument.Malformed(description: "FORMAT.md has no example of vdrive.json.") }
        let descriptor = lines[(middle - 1)...end].map { $0.dropFirst(4) + "\n" }.joined()
        try FileManager.default.createDirectory(atPath: "\(folder)/other", withIntermediateDirectories: true)
        try Data(descriptor.utf8).write(to: URL(fileURLWithPath: "\(folder)/other/vdrive.json"))
    }

    package init(name: String, text: String) throws {
        self.name = name
        var exchange: Exchange?
        var called: [JSONValue: String] = [:]
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("#") { continue }
            if line.isEmpty {
                if let exchange { exchanges.append(exchange) }
                exchange = nil
                continue
            }
            var current = exchange ?? Exchange(line: index + 1)
            let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
            let rest = words.count > 1 ? String(words[1]) : ""
            if words[0] == "<-" {
                let answer = try JSONValue(parsing: rest.utf8)
                current.expected.append(answer)
                for answer in Self.items(answer) where answer["result"] != nil {
                    if let method = answer["id"].flatMap({ called[$0] }) { methods.insert(method) }
                }
            } else if words[0] == "<-end" {
                current.endsConnection = true
            } else {
                guard let sent = Self.sent(String(words[0]), rest) else {
                    throw ProtocolDocument.Malformed(description: "\(name):\(index + 1): \(line) is not understood.")
                }
                current.sent += sent
                for call in (try? JSONValue(parsing: rest.utf8)).map(Self.items) ?? [] {
                    if let id = call["id"], case .string(let method)? = call["method"] { called[id] = method }
                }
            }
            exchange = current
        }
        if let exchange { exchanges.append(exchange) }
    }

    private static func sent(_ word: String, _ rest: String) -> [Sent]? {
        let parts = rest.split(separator: " ", maxSplits: 1)
        let newline = UInt8(ascii: "\n")
        switch word {
        case "->": return [.bytes(Array(rest.utf8) + [newline])]
        case "->half": return [.bytes(Array(rest.utf8)), .end]
        case "->hex":
            let bytes = rest.split(separator: " ").map { UInt8($0, radix: 16) }
            return bytes.contains(nil) ? nil : [.bytes(bytes.compactMap(\.self) + [newline])]
        case "->repeat", "->batch":
            guard parts.count == 2, let count = Int(parts[0]) else { return nil }
            let texts = Array(repeating: String(parts[1]), count: count)
            let line = word == "->batch" ? "[\(texts.joined(separator: ","))]" : texts.joined()
            return [.bytes(Array(line.utf8) + [newline])]
        case "->wait": return UInt32(rest).map { [.wait(milliseconds: $0)] }
        default: return nil
        }
    }

    private static func items(_ json: JSONValue) -> [JSONValue] {
        if case .array(let items) = json { items } else { [json] }
    }

    /// Plays the client's part on a connection of its own. It blocks.
    ///
    /// - Returns: what was not as it should be: answers that differ, and results and errors that openrpc.json does not
    ///   allow.
    package func replay(socket: String, document: ProtocolDocument) throws -> [String] {
        let client = try RawClient(socket, secondsMax: 30)
        var complaints: [String] = []
        var called: [JSONValue: String] = [:]
        var isOver = false
        var kept: [String: JSONValue] = [:]
        for exchange in exchanges {
            for sent in exchange.sent {
                switch sent {
                case .bytes(let pattern):
                    let bytes = Self.filled(pattern, kept)
                    for call in (try? JSONValue(parsing: bytes)).map(Self.items) ?? [] {
                        if let id = call["id"], case .string(let method)? = call["method"] { called[id] = method }
                    }
                    try client.send(bytes)
                case .end: client.finish()
                case .wait(let milliseconds): usleep(milliseconds * 1000)
                }
            }
            var expected = exchange.expected
            while !expected.isEmpty {
                guard let answer = try client.json() else {
                    return complaints + ["\(name):\(exchange.line): the connection ended"]
                }
                for answer in Self.items(answer) {
                    complaints += try Self.complaints(answer, to: answer["id"].flatMap { called[$0] }, document)
                        .map { "\(name):\(exchange.line): \($0)" }
                }
                if let match = expected.firstIndex(where: { Self.matches(answer, $0, isBatch: true) }) {
                    Self.keep(answer, as: expected.remove(at: match), &kept)
                } else {
                    let text = expected.map(\.text).joined(separator: " or ")
                    return complaints + ["\(name):\(exchange.line): \(answer.text), not \(text)"]
                }
            }
            isOver = exchange.endsConnection
            if isOver, let more = try client.line() {
                return complaints + ["\(name):\(exchange.line): \(more), not the end"]
            }
        }
        if !isOver {
            client.finish()
            if let more = try client.line() { complaints.append("\(name): \(more) at the end") }
        }
        return complaints
    }

    /// What the document does not allow.
    private static func complaints(
        _ answer: JSONValue,
        to method: String?,
        _ document: ProtocolDocument
    ) throws -> [String] {
        if case .string(let name)? = answer["method"] {
            return try document.complaints(notification: answer["params"] ?? .null, of: name)
        }
        if let result = answer["result"] {
            guard let method else { return ["a result without a call: \(answer.text)"] }
            return try document.complaints(result: result, of: method)
        }
        guard let error = answer["error"] else { return ["neither result nor error: \(answer.text)"] }
        let schema = JSONValue.object(["$ref": .string("#/components/schemas/Error")])
        let complaints = SchemaCheck(document: document.json).complaints(error, schema, at: "error")
        guard complaints.isEmpty, case .string(let kind)? = error["data"]?["kind"] else { return complaints }
        // These answer what never reaches a method.
        if ["parseError", "invalidRequest", "methodNotFound"].contains(kind) { return [] }
        guard let method else { return ["\(kind) without a call: \(answer.text)"] }
        return try document.method(method).errors.contains(kind) ? [] : ["\(method) may not give \(kind)"]
    }

    /// Puts what was kept into a line of the client.
    private static func filled(_ line: [UInt8], _ kept: [String: JSONValue]) -> [UInt8] {
        guard !kept.isEmpty else { return line }
        let text = kept.reduce(String(decoding: line, as: UTF8.self)) { text, pair in
            text.replacingOccurrences(of: "\"$\(pair.key)\"", with: pair.value.text)
        }
        return Array(text.utf8)
    }

    /// Keeps what has a name in the pattern that the value matches.
    private static func keep(_ value: JSONValue, as pattern: JSONValue, _ kept: inout [String: JSONValue]) {
        if case .object(let fields) = pattern {
            for (name, field) in fields { keep(value[name] ?? .null, as: field, &kept) }
        } else if case .string(let text) = pattern, let name = text.wholeMatch(of: /<\w+ (\w+)>/)?.1 {
            kept[String(name)] = value
        }
    }

    /// - Parameter isBatch: whether the order of an array means nothing.
    private static func matches(_ value: JSONValue, _ pattern: JSONValue, isBatch: Bool = false) -> Bool {
        if case .string(let text) = pattern, let kind = text.wholeMatch(of: /<(\w+) \w+>/)?.1 {
            return matches(value, .string("<\(kind)>"))
        }
        switch (pattern, value) {
        case (.string("<int>"), .integer), (.string("<number>"), .integer), (.string("<number>"), .number),
            (.string("<string>"), .string), (.string("<array>"), .array), (.string("<object>"), .object):
            return true
        case (.string("<uuid>"), .string(let text)): return UUID(uuidString: text) != nil
        case (.object(let patterns), .object(let values)):
            return Set(patterns.keys) == Set(values.keys)
                && patterns.allSatisfy { name, pattern in matches(values[name] ?? .null, pattern) }
        case (.array(var patterns), .array(let values)):
            guard patterns.count == values.count else { return false }
            guard isBatch else { return zip(values, patterns).allSatisfy { matches($0, $1) } }
            return values.allSatisfy { value in
                guard let match = patterns.firstIndex(where: { matches(value, $0) }) else { return false }
                patterns.remove(at: match)
                return true
            }
        default: return value == pattern
        }
    }
}
