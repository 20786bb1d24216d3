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
            #expect(errors.isEmpty || answer.errors.contains(errors), "\(answer)", sourceLocation: sourceLocation)
            #expect(answer.errors.isEmpty == (status == 0), "\(answer)", sourceLocation: sourceLocation)
            #expect(status == 0 || answer.output.isEmpty, "\(answer)", sourceLocation: sourceLocation)
        }

        private func json(_ answer: ProgramAnswer) throws -> JSONValue {
            #expect(answer.status == 0 && answer.errors.isEmpty, "\(answer)")
            #expect(answer.output.hasSuffix("\n") && answer.output.filter { $0 == "\n" }.count == 1, "\(answer)")
            return try JSONValue(parsing: answer.output.utf8)
        }

        /// A command, run on two disks: as people see it, and with `--json`.
        private struct Row {
            let words: [String]
            /// Words for the disk alone, behind its name.
            var own: (String) -> [String] = { _ in [] }
            /// What the line for people begins with, or has in it; NAME stands for the disk's.
            let says: String
            /// What the result holds; a path with points.
            let field: String
            let value: JSONValue?
            /// Words that fail, how, and what is said then.
            var failing: [String]?
            var status = 1
            var error = "nobody"
            /// Before this row.
            var isAfterLoss = false

            func command(_ name: String) -> [String] { words + [name] + own(name) }
        }

        /// In an order in which each can succeed.
        private func rows(remotes: [String: String], runDirectory: String) -> [Row] {
            func on(_ name: String) -> [String] { ["--remote", remotes[name] ?? ""] }
            let size = ["--size", "16M", "--chunk-size", "64K"]
            let taken = on("first")
            return [
                Row(
                    words: ["create"],
                    own: { on($0) + size },
                    says: "created NAME: 16.0 MiB on file:///",
                    field: "sizeBytes",
                    value: .integer(16_777_216),
                    failing: ["create", "first"] + taken + size,
                    status: 4,
                    error: "first"
                ),
                Row(
                    words: ["configure", "--upload-interval", "7", "--durability", "remote", "--cache-policy", "lru"],
                    says: "configured NAME: durability remote, upload interval 7.0 s, cache policy lru",
                    field: "uploadIntervalSeconds",
                    value: .integer(7)
                ),
                Row(
                    words: ["attach", "--fs", "none"],
                    says: "attached NAME at \(runDirectory)/NAME/disk.img",
                    field: "state",
                    value: .string("attached")
                ),
                Row(words: ["status"], says: "name             NAME\n", field: "term", value: .integer(1)),
                Row(
                    words: ["stats"],
                    says: "name             NAME\nstate            attached\n",
                    field: "daemon.version",
                    value: .string(DaemonVersion.release)
                ),
                Row(words: ["sync"], says: "synced NAME, epoch 1", field: "epoch", value: .integer(1)),
                Row(
                    words: ["cache", "evict", "--wait"],
                    says: "evicted 0 B of NAME",
                    field: "evictedBytes",
                    value: .integer(0)
                ),
            ] + cacheRows + uploadRows + [
                Row(words: ["detach"], says: "detached NAME", field: "state", value: .string("detached")),
                Row(words: ["destroy"], says: "destroyed NAME\n", field: "deletedObjects", value: .integer(0)),
                Row(
                    words: ["import"],
                    own: on,
                    says: "imported NAME: 16.0 MiB on file:///",
                    field: "chunkBytes",
                    value: .integer(65536),
                    failing: ["import", "third"] + taken,
                    status: 4,
                    error: "known here as first",
                    isAfterLoss: true
                ),
            ]
        }

        private var cacheRows: [Row] {
            [
                Row(
                    words: ["cache", "ls"],
                    says: "SIZE      DATA  CACHED  STATE   PATH\n16.0 MiB  0 B   0 B     cached  bytes 0–16777216\n",
                    field: "next",
                    value: .null
                ),
                Row(
                    words: ["cache", "prefetch", "--wait"],
                    own: { _ in ["--length", "1M"] },
                    says: "fetched NAME: 1.00 MiB\n",
                    field: "bytes",
                    value: .integer(1 << 20)
                ),
                Row(
                    words: ["cache", "pin", "--wait"],
                    own: { _ in ["--offset", "1M", "--length", "1M"] },
                    says: "pinned NAME: 1.00 MiB\n",
                    field: "job",
                    value: .null
                ),
                Row(
                    words: ["cache", "pins"],
                    says:
                        "PINNED    MISSING  WHAT   WHERE            PROBLEM\n1.00 MiB  0 B      bytes  1048576–2097152",
                    field: "next",
                    value: nil
                ),
                Row(
                    words: ["cache", "unpin"],
                    says: "unpinned NAME: 1 rule\n",
                    field: "rules",
                    value: .integer(1)
                ),
                Row(
                    words: ["cache", "limits"],
                    own: { _ in ["--soft", "70", "--policy", "s3fifo"] },
                    says: "size        10.0 GiB\nsoft limit  70 %\nreserve     5 %\npolicy      s3fifo\n",
                    field: "softPercent",
                    value: .integer(70)
                ),
            ]
        }

        private var uploadRows: [Row] {
            [
                Row(
                    words: ["upload", "queue", "--limit", "10"],
                    says: "NAME: 0 B to upload in 0 chunks\n",
                    field: "totalChunks",
                    value: .integer(0)
                ),
                Row(
                    words: ["upload", "pause"],
                    says: "paused the uploads of NAME",
                    field: "state",
                    value: .string("attached")
                ),
                Row(
                    words: ["upload", "resume"],
                    says: "resumed the uploads of NAME",
                    field: "state",
                    value: .string("attached")
                ),
            ]
        }

        @Test(.timeLimit(.minutes(2)))
        func `every command has its output, its JSON and its failure`() async throws {
            try await DaemonUnderTest.use("commands") { daemon in
                let remotes = ["first": try await TestRemote.make(.file, for: daemon).url]
                    .merging(["second": try await TestRemote.make(.file, for: daemon).url]) { $1 }
                let rows = rows(remotes: remotes, runDirectory: daemon.runDirectory)
                for row in rows {
                    if row.isAfterLoss { try await daemon.forgetEverything() }
                    let answer = try await daemon.ctl(row.command("first"))
                    expect(answer, status: 0)
                    let says = row.says.replacing("NAME", with: "first")
                    #expect(answer.output.hasPrefix(says), "\(answer)")
                    let result = try json(try await daemon.ctl(row.command("second") + ["--json"]))
                    let value = row.field.split(separator: ".").reduce(result as JSONValue?) { $0?[String($1)] }
                    #expect(value == row.value, "\(row.words): \(result.text)")
                    let failing = row.failing ?? row.words + ["nobody"]
                    for words in [failing, failing + ["--json"]] {
                        let failure = try await daemon.ctl(words)
                        expect(failure, status: row.status, errors: row.error)
                        #expect(
                            failure.errors.hasPrefix("vdrivectl: ") && failure.errors.hasSuffix(".\n"),
                            "\(failure)"
                        )
                    }
                }
                try await expectList(daemon)
                try await expectConfig(daemon)
                // These have tests of their own.
                let tested = Set(rows.map { $0.words.prefix { !$0.hasPrefix("--") }.joined(separator: " ") })
                #expect(Set(try await commandNames()) == tested.union(Self.others))
            }
        }

        private static let others = [
            "call", "daemon config", "doctor", "events", "jobs cancel", "jobs list", "jobs watch",
        ]

        /// All disks: a table, JSON, and the failure that there is no daemon.
        private func expectList(_ daemon: DaemonUnderTest) async throws {
            let lines = try await daemon.mustCtl("status").split(separator: "\n")
            #expect(lines.count == 3, "\(lines)")
            let columns = ["NAME", "STATE", "SIZE", "ALLOCATED", "CACHE", "DIRTY", "MOUNT", "REMOTE"]
            #expect(lines[0].split(separator: " ").map(String.init) == columns)
            #expect(lines[1].contains(/^first +detached +16\.0 MiB +- +- +- +- +file:/), "\(lines)")
            #expect(lines[2].hasPrefix("second "), "\(lines)")
            let list = try json(try await daemon.ctl(["status", "--json"]))
            #expect(list["disks"]?[1]?["name"] == .string("second"), "\(list.text)")
            expect(
                try await daemon.ctl(["status", "--socket", "\(daemon.folder)/none"]),
                status: 3,
                errors: "not answer"
            )
        }

        /// The daemon's settings: a table, JSON, and the failure that there is no daemon.
        private func expectConfig(_ daemon: DaemonUnderTest) async throws {
            let answer = try await daemon.ctl(["daemon", "config"])
            expect(answer, status: 0)
            let lines = answer.output.split(separator: "\n")
            #expect(lines.first?.split(separator: " ") == ["SETTING", "VALUE", "FROM"], "\(answer)")
            #expect(lines.count == 7 && lines[3].contains(#/^socket-group +- +default$/#), "\(answer)")
            #expect(lines.contains { $0.hasPrefix("state-dir ") && $0.hasSuffix("command line") }, "\(answer)")
            let config = try json(try await daemon.ctl(["daemon", "config", "--json"]))
            #expect(config["socket"]?["value"] == .string(daemon.socket), "\(config.text)")
            expect(
                try await daemon.ctl(["daemon", "config", "--socket", "\(daemon.folder)/none"]),
                status: 3,
                errors: "not answer"
            )
        }

        @Test(.timeLimit(.minutes(1)))
        func `each way to end has its code, and the help names them all`() async throws {
            try await DaemonUnderTest.use("exit-codes") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                let other = ["--remote", "file://\(daemon.folder)/other", "--size", "16M"]
                for words in [
                    ["status"], ["--help"], ["--version"], ["attach", "--help"], ["help", "cache", "evict"],
                ] {
                    expect(try await daemon.ctl(words), status: 0)
                }
                expect(try await daemon.ctl(["status", "nobody"]), status: 1, errors: "nobody")
                let wrong: [([String], String)] = [
                    (["fly"], "Unexpected argument"), (["status", "--fast"], "Unknown option"), (["attach"], "Missing"),
                    (["create", "second", "--remote", "file:///x", "--size", "much"], "much"),
                    (["attach", "first", "--discard-local", "--keep-local-as", "x"], "exclude each other"),
                    (["attach", "first", "--read-only", "--takeover"], "changes nothing"),
                    (["attach", "first", "--mount", ""], "A path is empty"),
                    // The parser takes these; the daemon does not.
                    (["create", ".hidden"] + other, "name"),
                    (["create", "second"] + other + ["--chunk-size", "1K"], "64 KiB"),
                ]
                for (words, error) in wrong { expect(try await daemon.ctl(words), status: 2, errors: error) }
                expect(
                    try await daemon.ctl(["status", "--socket", "\(daemon.folder)/none"]),
                    status: 3,
                    errors: "vdrived"
                )
                expect(try await daemon.ctl(["create", "first"] + other), status: 4, errors: "first")
                let again = ["create", "second", "--size", "16M"] + remote.arguments
                expect(try await daemon.ctl(again), status: 4, errors: remote.url)
                let help = try await daemon.mustCtl("--help")
                let section = try #require(help.firstMatch(of: /EXIT CODES\n((?: .*\n)+)/)).1
                #expect(
                    section.matches(of: #/(?m)^  (\d)  /#).map { String($0.1) } == ["0", "1", "2", "3", "4"],
                    "\(help)"
                )
            }
        }

        /// Every command that does something, as the program knows them.
        private func commandNames() async throws -> [String] {
            let text = try await mustRun([DaemonUnderTest.program("vdrivectl"), "--experimental-dump-help"])
            return Self.leaves(try JSONValue(parsing: text.utf8)["command"] ?? .null)
        }

        private static func leaves(_ command: JSONValue) -> [String] {
            guard case .array(let below)? = command["subcommands"] else { return [] }
            return below.flatMap { each -> [String] in
                guard case .string(let name)? = each["commandName"], name != "help" else { return [] }
                let deeper = leaves(each)
                return deeper.isEmpty ? [name] : deeper.map { "\(name) \($0)" }
            }
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
                    (.uploadQueue, #"{"name":"disk","limit":0}"#, "totalChunks", .integer(0)),
                    (.uploadPause, #"{"name":"disk"}"#, "state", .string("attached")),
                    (.uploadResume, #"{"name":"disk"}"#, "state", .string("attached")),
                    (.diskDetach, #"{"name":"disk"}"#, "state", .string("detached")),
                    (.diskDestroy, #"{"name":"disk"}"#, "deletedObjects", .integer(0)),
                    (.diskImport, #"{"name":"again",\#(place)}"#, "name", .string("again")),
                ]
                for (method, params, field, value) in calls {
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
