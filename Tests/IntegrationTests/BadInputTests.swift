import Foundation
import Linux
import Synchronization
import Testing
import VDriveProtocol
import VDriveStore
import VDriveTestKit

extension Integration {
    /// What cannot work is refused with one sentence, and leaves nothing behind.
    @Suite(.serialized)
    struct BadInputTests {
        private static let secret = "S3cret-that-nobody-may-see"

        /// Runs a command that must fail, and looks at everything that it may have left or told.
        private func expectRefusal(
            _ daemon: DaemonUnderTest,
            _ arguments: [String],
            says words: String...,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            func check(_ condition: Bool, _ comment: Comment) {
                #expect(condition, comment, sourceLocation: sourceLocation)
            }
            let before = try await everything(of: daemon)
            let watch = SecretWatch(Self.secret)
            let answer = try await watch.during { try await daemon.ctl(arguments) }
            check(!answer.isSuccess, "\(answer)")
            check(answer.output.isEmpty, "\(answer)")
            let lines = answer.errors.split(separator: "\n", omittingEmptySubsequences: false)
            check(lines.count == 2 && lines[1].isEmpty, "not one line: \(answer)")
            let sentence = answer.errors.dropLast()
            check(sentence.hasPrefix("vdrivectl: ") && sentence.hasSuffix("."), "no sentence: \(answer)")
            check(sentence.firstMatch(of: /\. [A-Z]/) == nil, "more than one sentence: \(answer)")
            for word in words { check(sentence.contains(word), "does not say \(word): \(answer)") }
            let after = try await everything(of: daemon)
            check(before == after, "left behind: \(after.subtracting(before)), gone: \(before.subtracting(after))")
            check(!answer.description.contains(Self.secret), "the command shows the secret")
            check(!daemon.log.contains(Self.secret), "the log shows the secret")
            check(watch.places.isEmpty, "the secret is seen in \(watch.places)")
        }

        /// Every path below the daemon's folder, but for what grows by itself.
        private func everything(of daemon: DaemonUnderTest) async throws -> Set<String> {
            let text = try await mustRun(["find", daemon.folder, "-xdev"])
            return Set(text.split(separator: "\n").map(String.init))
        }

        @Test(.timeLimit(.minutes(1)))
        func `sizes, names and URLs that cannot be are refused`() async throws {
            try await DaemonUnderTest.use("bad") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                func refuse(_ name: String, _ size: String, _ options: [String], _ url: String? = nil, says: String)
                    async throws
                {
                    let words = ["create", name, "--size", size, "--remote", url ?? remote.url]
                    try await expectRefusal(daemon, words + options, says: says)
                }
                try await refuse("disk", "1G", [], "gopher://host/path", says: "webdav")
                try await refuse("disk", "1G", [], "s3://bucket/prefix", says: "s3")
                try await refuse("disk", "1G", [], "/just/a/path", says: "file://")
                try await refuse("disk", "1000001", ["--chunk-size", "64K"], says: "multiple")
                try await refuse("disk", "6M", [], says: "multiple")
                try await refuse("disk", "1G", ["--chunk-size", "32K"], says: "64 KiB")
                try await refuse("disk", "1G", ["--chunk-size", "32M"], says: "16 MiB")
                try await refuse("disk", "960K", ["--chunk-size", "96K"], says: "power of two")
                try await refuse("a/b", "1G", [], says: "a/b")
                try await refuse("../up", "1G", [], says: "name")
                try await refuse(".hidden", "1G", [], says: "name")
                try await refuse("disk", "1G", ["--cache-size", "1M"], says: "cache")
                try await refuse("disk", "0", [], says: "size")
                let user = "webdav://user:\(Self.secret)@127.0.0.1:1/x"
                let answer = try await daemon.ctl(["create", "disk", "--size", "1G", "--remote", user])
                #expect(!answer.isSuccess && !answer.errors.contains(Self.secret) && !daemon.log.contains(Self.secret))
                for command in ["attach", "detach", "sync", "status"] {
                    try await expectRefusal(daemon, [command, "nobody"], says: "nobody")
                }
                try await expectRefusal(daemon, ["cache", "evict", "nobody"], says: "nobody")
                try await expectRefusal(daemon, ["import", "disk"] + remote.arguments, says: "disk")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a remote that does not answer or does not let us in is refused`() async throws {
            try await DaemonUnderTest.use("door") { daemon in
                let server = try await ServerFarm.shared.server(.apache)
                let wrong = "\(daemon.folder)/wrong.toml"
                try writeSecret("username = \"user\"\npassword = \"\(Self.secret)\"\n", to: wrong)
                let right = "\(daemon.folder)/right.toml"
                try writeSecret("username = \"user\"\npassword = \"password\"\n", to: right)
                func refuse(_ url: String, _ credentials: String?, says: String) async throws {
                    let words = ["--remote", url] + (credentials.map { ["--credentials", $0] } ?? [])
                    try await expectRefusal(daemon, ["create", "disk", "--size", "1G"] + words, says: says)
                }
                let place = "bad-\(UInt64.random(in: .min ... .max))"
                let url = try server.url(place).redacted
                let silent = "webdav://127.0.0.1:\(FreePort.next())/x"
                try await refuse(silent, wrong, says: "127.0.0.1")
                try await refuse("webdav://no-such-host.invalid/x", wrong, says: "no-such-host.invalid")
                try await refuse(url, wrong, says: "password")
                try await refuse(url, nil, says: "credentials")
                let importing = ["import", "disk", "--remote", url, "--credentials", wrong]
                try await expectRefusal(daemon, importing, says: "password")
                #expect(!FileManager.default.fileExists(atPath: server.files.appendingPathComponent(place).path))

                let open = "\(daemon.folder)/open.toml"
                try writeSecret("username = \"user\"\npassword = \"\(Self.secret)\"\n", to: open, mode: 0o644)
                try await refuse(url, open, says: "chmod 600")
                try await refuse(url, "\(daemon.folder)/nowhere.toml", says: "nowhere.toml")

                let create = ["create", "disk", "--size", "1G", "--credentials", right, "--remote"]
                // Apache runs as www-data, and this folder is root's. It answers 500, whatever its manual says.
                let closed = server.files.appendingPathComponent("closed-\(place)")
                try FileManager.default.createDirectory(at: closed, withIntermediateDirectories: false)
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: closed.path)
                let closedURL = try server.url(closed.lastPathComponent).redacted
                try await expectRefusal(daemon, create + [closedURL], says: closedURL)
                #expect(try filesBelow(closed).isEmpty)

                let proxy = try await FaultProxy(to: server.port, rules: ["method=PUT status=507"])
                let proxied = create + [try server.url(place, port: proxy.port).redacted]
                try await expectRefusal(daemon, proxied, says: "space")
                try proxy.clear()
                try proxy.add("method=PUT status=403")
                try await expectRefusal(daemon, proxied, says: "403")
                proxy.stop()
                #expect(try filesBelow(server.files.appendingPathComponent(place)).isEmpty)

                // After all that, the same name and the same place serve at once.
                try await daemon.mustCtl("create", "disk", "--size", "1G", "--credentials", right, "--remote", url)
                try await daemon.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `what exists is left alone, and a disk is not made of itself`() async throws {
            try await DaemonUnderTest.use("self") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let other = try await TestRemote.make(.file, for: daemon)
                let mount = daemon.mountPoint("disk")
                try await daemon.create("disk", size: "1G", on: remote)
                let objects = try remote.objects()
                let create = ["create"]
                try await expectRefusal(
                    daemon,
                    create + ["disk", "--size", "1G"] + other.arguments,
                    says: "disk",
                    "exists"
                )
                try await expectRefusal(daemon, create + ["second", "--size", "2G"] + remote.arguments, says: "exists")
                try await expectRefusal(daemon, ["import", "second"] + remote.arguments, says: "known here as disk")
                #expect(try remote.objects() == objects)

                // A mount point that would cover the disk's own cache.
                try await expectRefusal(
                    daemon,
                    ["attach", "disk", "--mount", daemon.stateDirectory],
                    says: "itself",
                    "elsewhere"
                )
                // What the filesystem writes by itself must not go up in the middle of a refusal.
                try await daemon.mustCtl("configure", "disk", "--upload-interval", "3600")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                let inside = ["--cache-dir", "\(mount)/cache"]
                try await expectRefusal(
                    daemon,
                    create + ["second", "--size", "1G"] + other.arguments + inside,
                    says: "\(mount)/cache",
                    "SSD"
                )
                try await expectRefusal(
                    daemon,
                    create + ["second", "--size", "1G", "--remote", "file://\(mount)/remote"],
                    says: "\(mount)/remote"
                )
                try await expectRefusal(
                    daemon,
                    ["attach", "disk", "--mount", "\(daemon.folder)/elsewhere"],
                    says: "detach it first"
                )
                // Somebody is in there.
                let user = try await blocking { try ImageFile("\(mount)/open", flags: O_RDWR | O_CREAT) }
                try await expectRefusal(daemon, ["detach", "disk"], says: "use")
                #expect(try await daemon.status("disk").state == .attached)
                withExtendedLifetime(user) {}
            }
        }

        @Test func `without a daemon the client says so`() async throws {
            let client = try DaemonUnderTest.program("vdrivectl")
            let answer = try await runProgram([client, "--socket", "/nowhere/socket", "status"])
            #expect(answer.status == 3)
            #expect(answer.errors.hasPrefix("vdrivectl: The daemon does not answer at /nowhere/socket; start vdrived"))
        }
    }
}

/// Reads the command lines and environments of all processes, as `ps` does, while something runs.
private final class SecretWatch: Sendable {
    private let secret: Data
    private let state = Mutex((places: Set<String>(), isOver: false))

    init(_ secret: String) { self.secret = Data(secret.utf8) }

    var places: Set<String> { state.withLock { $0.places } }

    func during<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let looking = Task {
            try await blocking {
                repeat {
                    self.look()
                    usleep(20_000)
                } while !self.state.withLock({ $0.isOver })
            }
        }
        defer { state.withLock { $0.isOver = true } }
        let value = try await body()
        state.withLock { $0.isOver = true }
        try await looking.value
        return value
    }

    private func look() {
        for process in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] where Int(process) != nil {
            for file in ["cmdline", "environ"] {
                let bytes = FileManager.default.contents(atPath: "/proc/\(process)/\(file)") ?? Data()
                guard bytes.range(of: secret) != nil else { continue }
                state.withLock { _ = $0.places.insert("/proc/\(process)/\(file)") }
            }
        }
    }
}
