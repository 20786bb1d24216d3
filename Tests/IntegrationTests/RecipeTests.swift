import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// `Protocol/recipes.md` and `contrib/client.py`, against a real daemon.
    @Suite(.serialized)
    struct RecipeTests {
        @Test(.timeLimit(.minutes(2)))
        func `every recipe works`() async throws {
            let text = try String(contentsOfFile: "\(ProtocolDocument.folder)/recipes.md", encoding: .utf8)
            // What stands between one line ```sh and the next line ```.
            let recipes = text.components(separatedBy: "```sh\n").dropFirst().flatMap { part in
                part.components(separatedBy: "```")[0].split(separator: "\n").map(String.init)
            }
            try await DaemonUnderTest.use("recipes") { daemon in
                try Transcript.prepare(folder: daemon.folder)
                var methods: Set<String> = []
                for recipe in recipes {
                    let line = recipe.replacingOccurrences(of: "/run/vdrive.sock", with: daemon.socket)
                        .replacingOccurrences(of: "/srv/", with: "\(daemon.folder)/")
                    #expect(line.contains(daemon.socket), "\(recipe)")
                    let answer = try await runProgram(["/bin/bash", "-o", "pipefail", "-c", line])
                    #expect(answer.isSuccess && answer.errors.isEmpty && !answer.output.isEmpty, "\(answer)")
                    if !recipe.contains("| jq") {
                        let lines = answer.output.split(separator: "\n")
                        #expect(lines.count == 1, "\(answer)")
                        let json = try JSONValue(parsing: Array(lines[0].utf8))
                        #expect(json["result"] != nil, "\(answer)")
                    }
                    for method in MethodName.allCases where recipe.contains("\"\(method.rawValue)\"") {
                        methods.insert(method.rawValue)
                    }
                }
                #expect(methods == Set(MethodName.allCases.map(\.rawValue)))
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a client of 40 lines, written from the documents alone, does the life of a disk`() async throws {
            let client = SharedTools.packageFolder.appendingPathComponent("contrib/client.py").path
            let lines = try String(contentsOfFile: client, encoding: .utf8).split(
                separator: "\n",
                omittingEmptySubsequences: false
            )
            #expect(lines.count <= 41, "40 lines and the end of the last one")
            let script = """
                import sys
                sys.path.insert(0, sys.argv[1])
                sys.dont_write_bytecode = True
                from client import Client, Failure
                client, folder = Client(sys.argv[2]), sys.argv[3]
                assert client.call("daemon.version")["protocol"] == 1
                names = {method["name"] for method in client.call("rpc.discover")["methods"]}
                assert {"disk.create", "disk.attach", "disk.sync", "disk.detach"} <= names, names
                made = client.call("disk.create", name="py", sizeBytes=1 << 26, remote="file://" + folder + "/py")
                assert made["state"] == "detached" and made["sizeBytes"] == 1 << 26, made
                image = client.call("disk.attach", name="py", filesystem="none")["image"]
                with open(image, "r+b") as file:
                    file.write(b"from python" + bytes(4085))
                assert client.call("disk.sync", name="py")["cache"]["dirtyBytes"] == 0
                assert client.call("cache.evict", name="py")["evictedBytes"] > 0
                with open(image, "rb") as file:
                    assert file.read(11) == b"from python"
                try:
                    client.call("disk.status", name="nobody")
                    raise AssertionError("no error")
                except Failure as error:
                    assert (error.code, error.kind) == (-32007, "notFound"), error.kind
                assert client.call("disk.detach", name="py")["state"] == "detached"
                print("done")
                """
            try await DaemonUnderTest.use("client-py") { daemon in
                let folder = URL(fileURLWithPath: client).deletingLastPathComponent().path
                let output = try await mustRun(["python3", "-c", script, folder, daemon.socket, daemon.folder])
                #expect(output == "done\n")
                let words = ["env", "VDRIVE_SOCKET=\(daemon.socket)", "python3", client]
                let status = try JSONValue(
                    parsing: Array(try await mustRun(words + ["disk.status", "name=\"py\""]).utf8)
                )
                #expect(status["state"] == .string("detached"))
                let failed = try await runProgram(words + ["disk.status", "name=\"nobody\""])
                #expect(!failed.isSuccess && failed.errors.contains("There is no disk nobody"))
            }
        }
    }
}
