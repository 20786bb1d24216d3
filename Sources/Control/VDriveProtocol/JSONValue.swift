import FoundationEssentials

/// A JSON value of any shape, as parameters, results and identifiers travel before their types are known.
///
/// Whole numbers of the `Int64` range stay whole, so sizes up to 2^60 survive exactly; every other number is a double.
package enum JSONValue: Hashable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// Reads one JSON text.
    ///
    /// - Throws: `JSONSyntaxError` for anything that RFC 8259 does not allow, for a repeated key, and for nesting
    ///   deeper than `RPCLimits.nestingMax`.
    package init(parsing text: some Collection<UInt8>) throws(JSONSyntaxError) {
        var parser = JSONParser(bytes: Array(text))
        self = try parser.document()
    }

    /// The value of an encodable type.
    ///
    /// - Throws: what the type's own `encode(to:)` throws; the types of this module never do.
    package init(encoding value: some Encodable) throws {
        let text = try JSONEncoder().encode(value)
        try self.init(parsing: text)
    }

    /// Decodes a typed value.
    ///
    /// - Throws: `DecodingError`, which says the path of the field at fault.
    package func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    /// The value's one line of JSON, keys in order.
    package var text: String {
        var line = ""
        write(to: &line)
        return line
    }

    /// Reads a field of an object; nil for any other value.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let fields) = self else { return nil }
        return fields[key]
    }

    private func write(to line: inout String) {
        switch self {
        case .null: line += "null"
        case .boolean(let value): line += value ? "true" : "false"
        case .integer(let value): line += String(value)
        // JSON has no word for what is not finite; the parser never makes such a number.
        case .number(let value): line += value.isFinite ? "\(value)" : "null"
        case .string(let value): Self.write(value, to: &line)
        case .array(let items):
            line += "["
            for (position, item) in items.enumerated() {
                if position > 0 { line += "," }
                item.write(to: &line)
            }
            line += "]"
        case .object(let fields):
            line += "{"
            for (position, field) in fields.sorted(by: { $0.key < $1.key }).enumerated() {
                if position > 0 { line += "," }
                Self.write(field.key, to: &line)
                line += ":"
                field.value.write(to: &line)
            }
            line += "}"
        }
    }

    private static func write(_ value: String, to line: inout String) {
        line += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}

extension JSONValue: Codable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    package init(from decoder: any Decoder) throws {
        if let fields = try? decoder.container(keyedBy: Key.self) {
            self = .object(
                try Dictionary(
                    uniqueKeysWithValues: fields.allKeys.map {
                        ($0.stringValue, try fields.decode(Self.self, forKey: $0))
                    }
                )
            )
            return
        }
        if var list = try? decoder.unkeyedContainer() {
            var items: [JSONValue] = []
            while !list.isAtEnd { items.append(try list.decode(Self.self)) }
            self = .array(items)
            return
        }
        let single = try decoder.singleValueContainer()
        if single.decodeNil() {
            self = .null
        } else if let value = try? single.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? single.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? single.decode(Double.self) {
            self = .number(value)
        } else {
            self = .string(try single.decode(String.self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        switch self {
        case .object(let fields):
            var container = encoder.container(keyedBy: Key.self)
            for (name, value) in fields { try container.encode(value, forKey: Key(stringValue: name)) }
        case .array(let items):
            var container = encoder.unkeyedContainer()
            for item in items { try container.encode(item) }
        case .null:
            var container = encoder.singleValueContainer()
            try container.encodeNil()
        case .boolean(let value): try value.encode(to: encoder)
        case .integer(let value): try value.encode(to: encoder)
        case .number(let value): try value.encode(to: encoder)
        case .string(let value): try value.encode(to: encoder)
        }
    }
}
