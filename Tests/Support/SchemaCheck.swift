package import VDriveProtocol

/// Checks values against JSON Schemas (draft 7), for the words that `Protocol/openrpc.json` uses. A word that it does
/// not know is a complaint of its own, so that nothing in the document goes unchecked.
package struct SchemaCheck: Sendable {
    /// What references beginning with `#/` lead into.
    private let document: JSONValue

    package init(document: JSONValue) {
        self.document = document
    }

    /// What is wrong; empty when the value is valid.
    package func complaints(_ value: JSONValue, _ schema: JSONValue, at path: String) -> [String] {
        guard case .object(let words) = schema else { return ["\(path): \(schema.text) is no schema"] }
        if case .string(let reference)? = words["$ref"] {
            // Draft 7 ignores whatever stands beside a reference; the document must not rely on it.
            guard words.count == 1 else { return ["\(path): words beside the reference \(reference)"] }
            guard let target = resolve(reference) else { return ["\(path): \(reference) leads nowhere"] }
            return complaints(value, target, at: path)
        }
        return words.sorted { $0.key < $1.key }.flatMap { word, bound in
            check(value, word, bound, schema, at: path)
        }
    }

    private func check(
        _ value: JSONValue,
        _ word: String,
        _ bound: JSONValue,
        _ schema: JSONValue,
        at path: String
    ) -> [String] {
        switch (word, bound, value) {
        case ("title", .string, _), ("description", .string, _): return []
        case ("type", _, _):
            let names: [JSONValue] = if case .array(let list) = bound { list } else { [bound] }
            return names.contains { isOf($0, value) } ? [] : ["\(path): \(value.text) is not of type \(bound.text)"]
        case ("enum", .array(let values), _):
            return values.contains(value) ? [] : ["\(path): \(value.text) is none of \(bound.text)"]
        case ("anyOf", .array(let choices), _):
            let all = choices.map { complaints(value, $0, at: path) }
            return all.contains { $0.isEmpty } ? [] : [all.flatMap { $0 }.joined(separator: ", and ")]
        case ("minimum", _, _), ("maximum", _, _):
            guard let isBelow = self.isBelow(value, bound), let isAbove = self.isBelow(bound, value) else { return [] }
            return (word == "minimum" ? !isBelow : !isAbove)
                ? [] : ["\(path): \(value.text) is beyond the \(word) \(bound.text)"]
        case ("pattern", .string(let pattern), .string(let text)):
            guard let regex = try? Regex(pattern) else { return ["\(path): \(pattern) is no pattern"] }
            return text.firstMatch(of: regex) == nil ? ["\(path): \(value.text) does not match \(pattern)"] : []
        case ("maxItems", .integer(let most), .array(let items)):
            return items.count <= most ? [] : ["\(path): more than \(most) items"]
        case ("minItems", .integer(let least), .array(let items)):
            return items.count >= least ? [] : ["\(path): less than \(least) items"]
        case ("items", _, .array(let items)):
            return items.enumerated().flatMap { complaints($1, bound, at: "\(path)[\($0)]") }
        case ("required", .array(let names), .object(let fields)):
            return names.filter { fields[plain($0)] == nil }.map { "\(path): \($0.text) is missing" }
        case ("properties", .object(let known), .object(let fields)):
            return fields.sorted { $0.key < $1.key }.flatMap { name, field in
                known[name].map { complaints(field, $0, at: "\(path).\(name)") } ?? []
            }
        case ("additionalProperties", _, .object(let fields)):
            return additional(fields, bound, schema, at: path)
        case ("propertyNames", _, .object(let fields)):
            return fields.keys.sorted().flatMap { complaints(.string($0), bound, at: "\(path) key") }
        case ("pattern", .string, _), ("maxItems", .integer, _), ("minItems", .integer, _),
            ("items", .object, _), ("required", .array, _),
            ("properties", .object, _), ("additionalProperties", _, _), ("propertyNames", .object, _):
            return []
        default: return ["\(path): the schema's word \(word) is not understood"]
        }
    }

    private func additional(
        _ fields: [String: JSONValue],
        _ bound: JSONValue,
        _ schema: JSONValue,
        at path: String
    ) -> [String] {
        let others = fields.filter { schema["properties"]?[$0.key] == nil }.sorted { $0.key < $1.key }
        if case .boolean(let isAllowed) = bound {
            return isAllowed ? [] : others.map { "\(path): \($0.key) is not described" }
        }
        return others.flatMap { complaints($0.value, bound, at: "\(path).\($0.key)") }
    }

    private func isOf(_ type: JSONValue, _ value: JSONValue) -> Bool {
        switch (plain(type), value) {
        case ("null", .null), ("boolean", .boolean), ("integer", .integer), ("number", .integer), ("number", .number),
            ("string", .string), ("array", .array), ("object", .object):
            true
        default: false
        }
    }

    /// Exact for whole numbers, which reach 2^60; nil where one is no number.
    private func isBelow(_ left: JSONValue, _ right: JSONValue) -> Bool? {
        switch (left, right) {
        case (.integer(let left), .integer(let right)): left < right
        case (.integer(let left), .number(let right)): Double(left) < right
        case (.number(let left), .integer(let right)): left < Double(right)
        case (.number(let left), .number(let right)): left < right
        default: nil
        }
    }

    private func plain(_ value: JSONValue) -> String {
        if case .string(let text) = value { text } else { "" }
    }

    private func resolve(_ reference: String) -> JSONValue? {
        guard reference.hasPrefix("#/") else { return nil }
        return reference.dropFirst(2).split(separator: "/").reduce(Optional(document)) { $0?[String($1)] }
    }
}
