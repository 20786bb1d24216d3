import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// What `vdrivectl` prints, and how it ends: one daemon for all, a remote that is a folder, disks without a loop
    /// device.
    @Suite(.serialized)
    struct ControlCommandTests {
        private func expect(
            _ answer: ProgramAnswer,
            status: Int,
            errors: String = "",
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(answer.status == status, "\(answer)", sourceLocation: sourceLocation)
            #expect(answer.errors.contains(errors), "\(answer)", sourceLocation: sourceLocation)
            #expect(answer.errors.isEmpty == (status == 0), "\(answer)", sourceLocation: sourceLocation)
            #expect(status == 0 || answer.output.isEmpty, "\(answer)", sourceLocation: sourceLocation)
        }

        private func json(_ answer: ProgramAnswer) throws -> JSONValue {
            #expect(answer.status == 0 && answer.errors.isEmpty, "\(answer)")
            #expect(answer.output.hasSuffix("\n") && answer.output.filter { $0 == "\n" }.count == 1, "\(answer)")
            return try JSONValue(parsing: answer.output.utf8)
        }

        @Test(.timeLimit(.minutes(2)))
        func `call reaches every method`() async throws {
            try await DaemonUnderTest.use("call") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let place = #""remote":"\#(remote.url)""#
                let create = #"{"name":"disk","sizeBytes":16777216,"chunkBytes":65536,\#(place)}"#
                // In an order in which each can succeed.
                let calls: [(MethodName, String?, field: String, value: JSONValue)] = [
                    (.daemonVersion, nil, "version", .string(DaemonVersion.release)),
                    (.daemonHealth, "{}", "healthy", .boolean(true)),
                    (.diskCreate, create, "sizeBytes", .integer(16_777_216)),
                    (.diskList, nil, "disks", .array([])),
                    (.diskStatus, #"{"name":"disk"}"#, "state", .string("detached")),
                    (.diskConfigure, #"{"name":"disk","durability":"remote"}"#, "durability", .string("remote")),
                    (.diskAttach, #"{"name":"disk","filesystem":"none"}"#, "state", .string("attached")),
                    (.diskSync, #"{"name":"disk"}"#, "name", .string("disk")),
                    (.cacheEvict, #"{"name":"disk","wait":true}"#, "evictedBytes", .integer(0)),
                    (.diskDetach, #"{"name":"disk"}"#, "state", .string("detached")),
                    (.diskImport, #"{"name":"again",\#(place)}"#, "name", .string("again")),
                ]
                for (method, params, field, value) in calls {
                    // A disk that is known here is not imported once more.
                    if method == .diskImport { try await daemon.forgetEverything() }
                    let result = try json(
                        try await daemon.ctl(["call", method.rawValue] + (params.map { [$0] } ?? []))
                    )
                    if case .array = value {
                        #expect(result[field]?[0]?["name"] == .string("disk"), "\(method): \(result.text)")
                    } else {
                        #expect(result[field] == value, "\(method): \(result.text)")
                    }
                }
                // Whatever else there is answers too, if only that it wants parameters.
                for method in MethodName.allCases where !calls.contains(where: { $0.0 == method }) {
                    let answer = try await daemon.ctl(["call", method.rawValue])
                    #expect(answer.isSuccess || answer.errors.contains("error -32602"), "\(answer)")
                }
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `call tells an error's code, and ends as the other commands do`() async throws {
            try await DaemonUnderTest.use("call-errors") { daemon in
                let nobody = #"{"name":"nobody"}"#
                expect(try await daemon.ctl(["call", "disk.status", nobody]), status: 1, errors: "-32007 (notFound)")
                expect(try await daemon.ctl(["call", "disk.fly"]), status: 1, errors: "error -32601 (methodNotFound)")
                expect(
                    try await daemon.ctl(["call", "disk.status"]),
                    status: 2,
                    errors: "error -32602 (invalidParams)"
                )
                expect(try await daemon.ctl(["call", "disk.status", "[]"]), status: 2, errors: "-32602")
                expect(try await daemon.ctl(["call", "disk.status", "{"]), status: 2, errors: "are not JSON")
                expect(try await daemon.ctl(["call"]), status: 2, errors: "Missing expected argument")
                let away = try await runProgram([
                    DaemonUnderTest.program("vdrivectl"), "call", "disk.list", "--socket", "\(daemon.folder)/none",
                ])
                expect(away, status: 3, errors: "does not answer")
            }
        }
    }
}

extension JSONValue {
    fileprivate subscript(position: Int) -> JSONValue? {
        guard case .array(let items) = self, items.indices.contains(position) else { return nil }
        return items[position]
    }
}
