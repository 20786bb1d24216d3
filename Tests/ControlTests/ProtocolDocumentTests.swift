import Foundation
import Linux
import Logging
import NIOCore
import Testing
import VDriveControl
import VDriveProtocol
import VDriveTestKit

/// `Protocol/openrpc.json` says what the daemon's code does.
@Suite("Protocol/openrpc.json")
struct ProtocolDocumentTests {
    /// A disk that no daemon of these tests has.
    private static let stranger = JSONValue.string("nobody")

    /// Runs a body with the table of a daemon that has no disks.
    private func withTable(_ body: (DispatchTable) async throws -> Void) async throws {
        let folder = try ScratchFolder()
        let threads = BlockingThreads(name: "test-host", count: 1)
        defer { threads.shutdown() }
        let events = EventHub(run: "0badcafe")
        let registry = DiskRegistry(
            layout: try StateLayout(stateDirectory: "\(folder.path)/state", runDirectory: "\(folder.path)/run"),
            host: Host(threads: threads),
            daemonUser: 0,
            events: events,
            jobs: JobRegistry(events: events),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let none = try DaemonConfiguration(
            options: [:],
            configOption: nil,
            variable: { _ in nil },
            standardFile: "\(folder.path)/none"
        )
        let listening = try ListeningSocket(path: "\(folder.path)/socket")
        let config = none.report(serving: listening)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await registry.jobs.run() }
            defer { group.cancelAll() }
            try await body(.daemon(registry: registry, config: config))
        }
        withExtendedLifetime(folder) {}
    }

    private func answer(_ table: DispatchTable, _ method: String, _ params: [String: JSONValue]) async throws
        -> JSONValue
    {
        let request = RPCRequest(id: .integer(1), method: method, params: .object(params))
        return try JSONValue(parsing: try #require(await table.answer(.success(request))).line.utf8)
    }

    private func message(_ answer: JSONValue) -> String {
        if case .string(let text)? = answer["error"]?["message"] { text } else { "" }
    }

    /// Parameters that are right but for the disk, which is not there, or the remote, which is none.
    private func harmless(_ method: ProtocolDocument.Method) throws -> [String: JSONValue] {
        var params = method.examples.first?.params ?? [:]
        if params["name"] != nil { params["name"] = Self.stranger }
        if params["remote"] != nil { params["remote"] = .string("gopher://nowhere/") }
        return params
    }

    @Test("the document, the code and a daemon's table have the same methods")
    func methods() async throws {
        let document = try ProtocolDocument()
        let names = document.methods.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(Set(names) == Set(MethodName.allCases.map(\.rawValue)))
        try await withTable { #expect($0.names == Set(names)) }
    }

    @Test("the parameters have the same names, and the same ones may not be left out")
    func parameters() async throws {
        let document = try ProtocolDocument()
        try await withTable { table in
            for method in document.methods {
                #expect(table.parameters(of: method.name) == Set(method.parameters.map(\.name)), "\(method.name)")
                let required = Set(method.parameters.filter(\.isRequired).map(\.name))
                let params = try harmless(method).filter { required.contains($0.key) }
                #expect(Set(params.keys) == required, "an example of \(method.name) has all that is required")
                let whole = message(try await answer(table, method.name, params))
                #expect(!whole.hasSuffix("is missing."), "\(method.name): \(whole)")
                for name in required {
                    var less = params
                    less[name] = nil
                    let text = message(try await answer(table, method.name, less))
                    #expect(text == "The parameter \(name) is missing.", "\(method.name)")
                }
            }
        }
    }

    @Test("null is as good as nothing where the document says so, and every other type is refused")
    func types() async throws {
        let document = try ProtocolDocument()
        let check = SchemaCheck(document: document.json)
        try await withTable { table in
            for method in document.methods {
                let params = try harmless(method)
                for parameter in method.parameters {
                    for value in [.null, .object(["x": .integer(1)]), .array([])] as [JSONValue] {
                        // What is of the right type is not refused for its type.
                        if takes(value, parameter.schema) { continue }
                        let text = message(
                            try await answer(table, method.name, params.merging([parameter.name: value]) { $1 })
                        )
                        let isValid = check.complaints(value, parameter.schema, at: "").isEmpty
                        #expect(isValid == (value == .null && !parameter.isRequired))
                        let isRefused = text == "The parameter \(parameter.name) has the wrong type."
                        #expect(isRefused == !isValid, "\(method.name) \(parameter.name) \(value.text): \(text)")
                    }
                }
            }
        }
    }

    /// Whether a schema names the type of an object or an array.
    private func takes(_ value: JSONValue, _ schema: JSONValue) -> Bool {
        let names: [JSONValue] = if case .array(let list)? = schema["type"] { list } else { [schema["type"] ?? .null] }
        switch value {
        case .object: return names.contains(.string("object"))
        case .array: return names.contains(.string("array"))
        default: return false
        }
    }

    @Test("values out of the document's ranges and patterns are refused")
    func ranges() async throws {
        let bad: [String: [JSONValue]] = [
            "name": [.string(""), .string(".a"), .string("a/b"), .string(String(repeating: "a", count: 65))],
            "keepLocalAs": [.string("a b")],
            "sizeBytes": [.integer(0), .integer(65535), .integer(1 << 60 + 4 << 20)],
            "remote": [.string("/folder"), .string("gopher://host/path"), .string("webdav://a@host/path")],
            "chunkBytes": [.integer(32768), .integer(65537), .integer(1 << 25)],
            "cacheBytes": [.integer(262_143), .integer(1 << 60 + 1)],
            "durability": [.string("none")],
            "uploadIntervalSeconds": [.number(0.04), .integer(3601)],
            "filesystem": [.string("btrfs")], "limit": [.integer(-1), .integer(5001)],
            "uuid": [.string(""), .string("5d3e0f52-9c0e-4b7c-8b0e-2f6d1a7c9e1g")],
            "types": [.array([]), .array([.string("disk.exploded")])],
            "disks": [.array([]), .array([.string("a b")])],
            "since": [.integer(-1)],
            "subscription": [.integer(-1)],
            "afterRevision": [.integer(-1)],
            "method": [.string("disk.status"), .string("disk.fly")],
            "cachePolicy": [.string("fifo")],
            "offset": [.integer(-1)], "length": [.integer(0), .integer(-1)],
            "chunks": [.array([]), .array([.integer(-1)])],
            "paths": [.array([])],
            "softPercent": [.integer(9), .integer(101)],
            "reservePercent": [.integer(-1), .integer(91)],
        ]
        let document = try ProtocolDocument()
        let check = SchemaCheck(document: document.json)
        var seen: Set<String> = []
        try await withTable { table in
            // An import learns the chunk size, which bounds the cache, from its remote.
            for method in document.methods where method.name != "disk.import" {
                for parameter in method.parameters {
                    for value in bad[parameter.name] ?? [] {
                        seen.insert(parameter.name)
                        let complaints = check.complaints(value, parameter.schema, at: "")
                        #expect(!complaints.isEmpty, "\(parameter.name) \(value.text)")
                        // `keepLocalAs` is looked at once there is such a disk.
                        guard parameter.name != "keepLocalAs" else { continue }
                        var params = method.examples[0].params
                        params[parameter.name] = value
                        let answer = try await answer(table, method.name, params)
                        #expect(answer["error"]?["code"] == .integer(-32602), "\(parameter.name) \(value.text)")
                    }
                }
            }
        }
        #expect(seen == Set(bad.keys))
    }

    @Test("the errors are those of the code, and each method names its own")
    func errors() throws {
        let document = try ProtocolDocument()
        let real = Dictionary(uniqueKeysWithValues: ErrorCode.allCases.map { ($0.kind, $0.rawValue) })
        #expect(try document.errors() == real)
        let fields = document.json["components"]?["schemas"]?["Error"]?["properties"]
        #expect(fields?["code"]?["enum"] == .array(ErrorCode.allCases.map { .integer(Int64($0.rawValue)) }))
        #expect(fields?["data"]?["properties"]?["kind"]?["enum"] == .array(ErrorCode.allCases.map { .string($0.kind) }))
        for method in document.methods {
            #expect(method.errors.isSubset(of: Set(real.keys)), "\(method.name)")
            #expect(method.errors.isSuperset(of: ["invalidParams", "internal"]), "\(method.name)")
        }
    }

    @Test("the examples are valid")
    func examples() throws {
        let document = try ProtocolDocument()
        let check = SchemaCheck(document: document.json)
        for method in document.methods {
            #expect(method.name == "rpc.discover" || !method.examples.isEmpty, "\(method.name)")
            for example in method.examples {
                #expect(try document.complaints(result: example.result, of: method.name) == [])
                for (name, value) in example.params {
                    let schema = method.parameters.first { $0.name == name }?.schema ?? .null
                    #expect(check.complaints(value, schema, at: "\(method.name) \(name)") == [])
                }
            }
        }
    }

    @Test("rpc.discover gives the document")
    func discover() async throws {
        let document = try ProtocolDocument()
        try await withTable { table in
            let result = try #require(try await answer(table, "rpc.discover", [:])["result"])
            let isSame = result == document.json
            #expect(isSame, "the program was built with another document")
            #expect(result.text.utf8.count < RPCLimits.lineBytesMax / 4)
            #expect(try document.complaints(result: result, of: "rpc.discover") == [])
        }
        #expect(document.json["info"]?["version"] == .string("\(DaemonVersion.protocolVersion)"))
    }

    @Test("the notifications are those of the code, and every type of event has an example that it reads")
    func notifications() throws {
        let document = try ProtocolDocument()
        #expect(document.notifications.map(\.name) == NotificationName.allCases.map(\.rawValue))
        for notification in document.notifications {
            #expect(!notification.examples.isEmpty)
            for example in notification.examples {
                #expect(try document.complaints(notification: example, of: notification.name) == [])
            }
        }
        let types = document.json["components"]?["schemas"]?["EventType"]?["enum"]
        #expect(types == .array(EventType.allCases.map { .string($0.rawValue) }))
        let events: [EventNotification] = try document.notifications[0].examples.map { try $0.decode() }
        #expect(events.compactMap { $0.event.payload?.type } == EventType.allCases)
        for (event, example) in zip(events.map(\.event), document.notifications[0].examples) {
            let payload = try #require(event.payload)
            let again = try Event(
                sequence: event.sequence,
                run: event.run,
                time: event.time,
                disk: event.disk,
                payload
            )
            let isSame = again.data == example["data"]
            #expect(isSame, "\(event.type): what the code writes is what the document shows")
        }
        let mixed = document.notifications[0].examples[0].replacing("type", by: .string("remote.state"))
        #expect(try document.complaints(notification: mixed, of: "events.event") != [])
    }

    @Test("the long methods are those that the daemon starts as jobs")
    func longMethods() async throws {
        let document = try ProtocolDocument()
        try await withTable { table in
            let names = document.json["components"]?["schemas"]?["LongMethod"]?["enum"]
            #expect(names == .array(table.starters.keys.sorted().map { .string($0) }))
        }
    }

    @Test("another validator than ours agrees: JSON Schema draft 7, and the examples")
    func draft7() async throws {
        let script = SharedTools.packageFolder.appendingPathComponent("Tests/ControlTests/check-openrpc.py").path
        let output = try await mustRun(
            ["python3", "-W", "ignore", script, "\(ProtocolDocument.folder)/openrpc.json"]
        )
        let checked = try #require(Int(output.filter { $0 != "\n" }), "\(output)")
        #expect(checked > 60)
    }

    @Test("the limits that README.md tells are the code's")
    func limits() throws {
        let text = try readText("\(ProtocolDocument.folder)/README.md")
        let limits = ControlServer.Limits()
        for (what, value) in [
            ("bytes of a line, without its newline", "\(RPCLimits.lineBytesMax)"),
            ("levels of arrays and objects", "\(RPCLimits.nestingMax)"),
            ("calls in a batch", "\(RPCLimits.batchCallsMax)"),
            ("subscriptions of one connection", "\(RPCLimits.subscriptionsMax)"),
            ("types, or disks, that one subscription names", "\(RPCLimits.filterNamesMax)"),
            ("events that wait for one subscription", "\(RPCLimits.eventsWaitingMax)"),
            ("events that are kept for those who come back", "\(RPCLimits.eventsKept)"),
            ("jobs that have ended and are kept", "\(RPCLimits.jobsKept)"),
            ("jobs that run at the same time by `jobs.start`", "\(RPCLimits.jobsStartedMax)"),
            ("jobs in one answer of `jobs.list`", "\(RPCLimits.jobsListedMax)"),
            ("a `jobs.watch` without news", "\(RPCLimits.watchSecondsMax) s"),
            ("announcements of one job's progress", "one in \(RPCLimits.progressMillisecondsMin) ms"),
            ("calls of one connection at the same time (a batch counts as one)", "\(ControlServer.callsMax)"),
            (
                "a client that does not read an answer, once the kernel holds no more for it",
                "\(limits.unreadPatience.nanoseconds / 1_000_000_000) s"
            ),
        ] {
            #expect(text.contains("| \(what) | \(value) |"), "\(what)")
        }
    }

    @Test(
        "the check of schemas finds what is wrong",
        arguments: [
            (#"{"type":"integer"}"#, "1", "1.5"), (#"{"type":["string","null"]}"#, "null", "1"),
            (#"{"enum":["a",null]}"#, #""a""#, #""b""#), (#"{"minimum":3,"maximum":4}"#, "4", "5"),
            (#"{"minimum":3}"#, "3", "2.9"), (#"{"pattern":"^a+$"}"#, #""aa""#, #""ab""#),
            (#"{"items":{"type":"string"}}"#, #"["a"]"#, #"["a",1]"#), (#"{"maxItems":1}"#, "[1]", "[1,2]"),
            (#"{"minItems":1}"#, "[1]", "[]"),
            (#"{"required":["a"]}"#, #"{"a":1}"#, #"{"b":1}"#),
            (#"{"properties":{"a":{"type":"null"}}}"#, #"{"a":null}"#, #"{"a":1}"#),
            (#"{"properties":{"a":{}},"additionalProperties":false}"#, #"{"a":1}"#, #"{"b":1}"#),
            (#"{"additionalProperties":{"type":"null"}}"#, #"{"a":null}"#, #"{"b":1}"#),
            (#"{"propertyNames":{"enum":["a"]}}"#, #"{"a":1}"#, #"{"b":1}"#),
            (#"{"anyOf":[{"type":"null"},{"minimum":2,"type":"integer"}]}"#, "2", "1"),
            (##"{"$ref":"#/components/schemas/DiskName"}"##, #""a""#, #""-a""#),
        ]
    )
    func check(schema: String, good: String, bad: String) throws {
        let check = SchemaCheck(document: try ProtocolDocument().json)
        let schema = try JSONValue(parsing: schema.utf8)
        #expect(check.complaints(try JSONValue(parsing: good.utf8), schema, at: "") == [])
        #expect(check.complaints(try JSONValue(parsing: bad.utf8), schema, at: "").count == 1)
        let unknown = JSONValue.object(["wonder": .null])
        #expect(check.complaints(.null, unknown, at: "").count == 1)
    }
}

extension JSONValue {
    /// An object with another value in one of its fields.
    fileprivate func replacing(_ key: String, by value: JSONValue) -> JSONValue {
        guard case .object(var fields) = self else { return self }
        fields[key] = value
        return .object(fields)
    }
}
