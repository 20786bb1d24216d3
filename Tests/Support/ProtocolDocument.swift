internal import Foundation
package import VDriveProtocol

/// `Protocol/openrpc.json`, read for tests.
package struct ProtocolDocument: Sendable {
    package struct Parameter: Sendable {
        package let name: String
        package let isRequired: Bool
        package let schema: JSONValue
    }

    package struct Example: Sendable {
        package let name: String
        package let params: [String: JSONValue]
        package let result: JSONValue
    }

    package struct Method: Sendable {
        package let name: String
        package let parameters: [Parameter]
        package let result: JSONValue
        /// The words of the errors that it can give.
        package let errors: Set<String>
        package let examples: [Example]
    }

    /// What the daemon sends without being asked, from `x-notifications`.
    package struct Notification: Sendable {
        package let name: String
        /// The schema of its params.
        package let schema: JSONValue
        /// Params.
        package let examples: [JSONValue]
    }

    package struct Malformed: Error, CustomStringConvertible {
        package let description: String
    }

    package let json: JSONValue
    package let methods: [Method]
    package let notifications: [Notification]

    package static let folder = SharedTools.packageFolder.appendingPathComponent("Protocol").path

    package init() throws {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(Self.folder)/openrpc.json"))
        json = try JSONValue(parsing: bytes)
        methods = try Self.items(json["methods"], "methods").map(Self.method)
        notifications = try Self.items(json["x-notifications"], "x-notifications").map { notification in
            Notification(
                name: try Self.text(notification["name"], "a notification's name"),
                schema: notification["params"] ?? .null,
                examples: try Self.items(notification["examples"], "a notification's examples").map {
                    $0["params"] ?? .null
                }
            )
        }
    }

    /// - Throws: when there is no such method.
    package func method(_ name: String) throws -> Method {
        guard let method = methods.first(where: { $0.name == name }) else {
            throw Malformed(description: "There is no method \(name) in openrpc.json.")
        }
        return method
    }

    /// The errors of `components`, by word.
    package func errors() throws -> [String: Int] {
        guard case .object(let fields)? = json["components"]?["errors"] else {
            throw Malformed(description: "There are no components.errors.")
        }
        return try fields.mapValues { error in
            guard case .integer(let code)? = error["code"] else {
                throw Malformed(description: "\(error) has no code.")
            }
            return Int(code)
        }
    }

    /// What is wrong with a method's result; empty when nothing is.
    package func complaints(result: JSONValue, of method: String) throws -> [String] {
        SchemaCheck(document: json).complaints(result, try self.method(method).result, at: "\(method) result")
    }

    /// What is wrong with a notification's params; empty when nothing is.
    package func complaints(notification params: JSONValue, of name: String) throws -> [String] {
        guard let notification = notifications.first(where: { $0.name == name }) else {
            throw Malformed(description: "There is no notification \(name) in openrpc.json.")
        }
        return SchemaCheck(document: json).complaints(params, notification.schema, at: name)
    }

    private static func method(_ json: JSONValue) throws -> Method {
        let name = try text(json["name"], "a method's name")
        guard json["paramStructure"] == .string("by-name") else {
            throw Malformed(description: "\(name) is not by-name.")
        }
        guard let result = json["result"]?["schema"] else { throw Malformed(description: "\(name) has no result.") }
        return Method(
            name: name,
            parameters: try items(json["params"], "\(name) params").map { parameter in
                Parameter(
                    name: try text(parameter["name"], "a parameter's name"),
                    isRequired: parameter["required"] == .boolean(true),
                    schema: parameter["schema"] ?? .null
                )
            },
            result: result,
            errors: Set(
                try items(json["errors"], "\(name) errors").map { error in
                    String(try text(error["$ref"], "an error's $ref").split(separator: "/").last ?? "")
                }
            ),
            examples: try json["examples"].map { try items($0, "\(name) examples").map(example) } ?? []
        )
    }

    private static func example(_ json: JSONValue) throws -> Example {
        let params = try items(json["params"], "an example's params").map { param in
            (try text(param["name"], "an example's name"), param["value"] ?? .null)
        }
        return Example(
            name: try text(json["name"], "an example's name"),
            params: Dictionary(params) { first, _ in first },
            result: json["result"]?["value"] ?? .null
        )
    }

    private static func items(_ json: JSONValue?, _ what: String) throws -> [JSONValue] {
        guard case .array(let items)? = json else { throw Malformed(description: "\(what) is no list.") }
        return items
    }

    private static func text(_ json: JSONValue?, _ what: String) throws -> String {
        guard case .string(let text)? = json else { throw Malformed(description: "\(what) is no text.") }
        return text
    }
}
