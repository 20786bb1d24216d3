import Foundation
import Glibc
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The daemon beneath a service manager: sockets that are passed, notices, and who may use the socket.
    @Suite(.serialized)
    struct SystemdTests {
        // MARK: Sockets that are passed

        @Test(.timeLimit(.minutes(3)))
        func `a daemon whose socket is passed answers the first client and all others, and leaves the socket`()
            async throws
        {
            try await DaemonUnderTest.use("activation", launch: .socketActivation, starts: false) { daemon in
                // The first client connects before there is a daemon.
                try await daemon.start()
                let before = try FileStatus.of(daemon.socket)
                for _ in 0..<5 {
                    let version = try json(try await daemon.mustCtl("call", "daemon.version"))
                    #expect(version["pid"] == .integer(Int64(daemon.pid)))
                }
                let config = try json(try await daemon.mustCtl("daemon", "config", "--json"))
                #expect(config["socket"]?["value"] == .string(daemon.socket))
                #expect(config["socket"]?["source"] == .string("socketActivation"))
                try await daemon.terminate()
                let after = try FileStatus.of(daemon.socket)
                #expect(after.inode == before.inode && after.mode == before.mode && after.group == before.group)
            }
        }

        /// Starts the daemon behind `systemd-socket-activate`, with a client that makes it start.
        ///
        /// - Returns: the daemon's end.
        private func activate(
            _ words: [String],
            type: String = "SOCK_STREAM"
        ) async throws -> ProgramAnswer {
            let scratch = try makeScratchFolder("activation")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let folder = scratch.path
            let vdrived = try DaemonUnderTest.program("vdrived")
            // The client goes on trying until there is a socket; it ends with the daemon.
            let script = """
                folder=$0
                until [ -S "$folder/a" ]; do sleep 0.05; done && python3 -c '
                import socket, sys
                client = socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2]))
                client.connect(sys.argv[1])
                client.recv(1)
                ' "$folder/a" "$1" 2>/dev/null & shift
                exec timeout -k 5 60 env --default-signal "$@"
                """
            let daemon = [
                vdrived, "--config", "/dev/null", "--state-dir", "\(folder)/state", "--run-dir", "\(folder)/run",
            ]
            return try await runProgram(
                ["bash", "-c", script, folder, type, "systemd-socket-activate", "--listen=\(folder)/a"] + words
                    + daemon,
                timeoutSeconds: 90
            )
        }

        @Test(.timeLimit(.minutes(3)))
        func `of several sockets the one that is called control is served, or none`() async throws {
            for names in ["a:b", "control:control"] {
                let answer = try await activate(["--listen=@vdrive-test-\(getpid())", "--fdname=\(names)"])
                #expect(answer.status == 2, "\(answer)")
                #expect(answer.errors.contains("set FileDescriptorName=control"), "\(answer)")
            }
            let packets = try await activate(["--seqpacket"], type: "SOCK_SEQPACKET")
            #expect(packets.status == 1, "\(packets)")
            #expect(packets.errors.contains("is no Unix stream socket"), "\(packets)")
            let scratch = try makeScratchFolder("activation-several")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let options = ["--listen=\(scratch.path)/b", "--fdname=web:control"]
            let process = try SupervisedProcess(
                ["/usr/bin/env", "--default-signal", "systemd-socket-activate", "--listen=\(scratch.path)/a"] + options
                    + [
                        try DaemonUnderTest.program("vdrived"), "--config", "/dev/null", "--state-dir",
                        "\(scratch.path)/state", "--run-dir", "\(scratch.path)/run",
                    ],
                scratch: try makeScratchFolder("activation-log")
            )
            defer { process.stop() }
            let socket = "\(scratch.path)/b"
            try await wait(for: "listening socket") { (try? RawClient(socket)) != nil }
            let answer = try await blocking { () -> JSONValue? in
                let client = try RawClient(socket, secondsMax: 60)
                try client.send(#"{"jsonrpc":"2.0","id":1,"method":"daemon.config"}"# + "\n")
                return try client.json()
            }
            #expect(answer?["result"]?["socket"]?["value"] == .string(socket))
        }

        // MARK: Notices

        @Test(.timeLimit(.minutes(3)), arguments: [false, true])
        func `systemd hears that the daemon is ready, alive, and stopping`(isAbstract: Bool) async throws {
            let scratch = try makeScratchFolder("notices")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let listener = try NoticeListener(path: isAbstract ? nil : "\(scratch.path)/notify")
            let environment = ["NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": "1000000"]
            // From before its start: what comes while nobody listens is not counted as faster than it was.
            let started = ContinuousClock.now
            try await DaemonUnderTest.use("notices", environment: environment) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let first = try await blocking { try listener.next(seconds: 60) }
                #expect(first == "READY=1\nSTATUS=no disks\nWATCHDOG=1")
                for _ in 0..<8 { #expect(try await blocking { try listener.next(seconds: 60) } == "WATCHDOG=1") }
                let each = (ContinuousClock.now - started) / .seconds(8)
                #expect(each > 0.4, "at half of the period")
                say("a sign of life every \(text(each, digits: 2)) s of 1 s")
                try await daemon.create("films", size: "16M", on: remote, "--chunk-size", "64K")
                _ = try await daemon.attachImage("films")
                let lines = try await blocking { try listener.lines(until: { $0 == "STATUS=1 disk, 1 attached" }) }
                #expect(lines != nil)
                // A program that the daemon starts hears nothing of all this; neither may a second daemon.
                let variables = try String(contentsOfFile: "/proc/\(daemon.pid)/environ", encoding: .utf8)
                #expect(variables.contains("NOTIFY_SOCKET"), "what the process was started with stays to be seen")
                try await daemon.terminate()
                let end = try await blocking { try listener.lines(until: { $0 == "STOPPING=1" }) }
                #expect(end != nil)
                let rest = try await blocking { try listener.next(seconds: 0) }
                #expect(rest?.contains("READY") != true)
            }
        }

        @Test(.timeLimit(.minutes(3)))
        func `a stop that waits for uploads asks for more time`() async throws {
            let listener = try NoticeListener()
            // Nothing goes up before the stop, and then it takes six seconds.
            let environment = ["NOTIFY_SOCKET": listener.address, "VDRIVE_FAULTS": "put.before-chunk=delay:6000"]
            try await DaemonUnderTest.use("notices-stop", environment: environment) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("films", size: "16M", on: remote, "--upload-interval", "3600")
                let image = try await daemon.attachImage("films")
                try await mustRun(["dd", "if=/dev/urandom", "of=\(image)", "bs=1M", "count=3", "conv=notrunc,fsync"])
                let stop = Task { try await daemon.terminate() }
                let lines = try await blocking {
                    try listener.lines(until: { $0.contains(#/^STATUS=stopping: 1 disk still in use, .* to upload$/#) })
                }
                #expect(lines?.contains("STOPPING=1") == true, "\(lines ?? [])")
                for _ in 0..<2 {
                    let more = try await blocking {
                        try listener.lines(until: { $0.hasPrefix("EXTEND_TIMEOUT_USEC=") })
                    }
                    #expect(more?.last == "EXTEND_TIMEOUT_USEC=30000000")
                }
                try await stop.value
                #expect(try remote.objects().keys.contains { $0.hasPrefix("blocks/") }, "the stop has uploaded it")
            }
        }

        // MARK: Who may use the socket

        /// What a client of another user hears.
        private func ask(_ daemon: DaemonUnderTest, user: Int, group: Int, groups: [Int]) async throws -> ProgramAnswer
        {
            let rights =
                groups.isEmpty ? ["--clear-groups"] : ["--groups", groups.map(String.init).joined(separator: ",")]
            return try await runProgram(
                ["setpriv", "--reuid", "\(user)", "--regid", "\(group)"] + rights + [
                    "python3", "-c",
                    """
                    import socket, sys
                    client = socket.socket(socket.AF_UNIX)
                    try:
                        client.connect(sys.argv[1])
                    except PermissionError:
                        sys.exit("the kernel refuses")
                    client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"daemon.version"}\\n')
                    print(client.makefile().read() if sys.argv[2] == "all" else client.makefile().readline(), end="")
                    """, daemon.socket, group == 60000 ? "all" : "first",
                ]
            )
        }

        @Test(.timeLimit(.minutes(3)))
        func `members of the configured group may use the socket, others hear one line`() async throws {
            let (member, stranger) = (4243, 60000)
            try await DaemonUnderTest.use("group", options: ["--socket-group", "\(member)"]) { daemon in
                let status = try FileStatus.of(daemon.socket)
                #expect(status.mode == 0o660 && status.group == gid_t(member) && status.owner == 0)
                for (group, groups) in [(member, []), (member, [stranger]), (65534, [stranger, member])] {
                    let answer = try await ask(daemon, user: 65534, group: group, groups: groups)
                    #expect(answer.isSuccess && answer.output.contains(#""result":"#), "\(answer)")
                }
                // The kernel keeps the others out, by the socket's mode.
                let kept = try await ask(daemon, user: 65534, group: 65534, groups: [])
                #expect(kept.errors.contains("the kernel refuses"), "\(kept)")
                // Where the mode lets them in, the daemon refuses: a mode may be changed by mistake.
                try #require(chmod(daemon.socket, 0o666) == 0)
                let refused = try await ask(daemon, user: 65534, group: stranger, groups: [])
                let lines = refused.output.split(separator: "\n")
                #expect(lines.count == 1, "\(refused)")
                let error = try JSONValue(parsing: (lines.first ?? "").utf8)
                #expect(error["error"]?["data"]?["kind"] == .string("refused") && error["id"] == .null)
                #expect(refused.output.contains("members of the group \(member)"), "\(refused)")
                let root = try await ask(daemon, user: 0, group: 0, groups: [])
                #expect(root.isSuccess && root.output.contains(#""result":"#), "\(root)")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `the group counts for a socket that is passed, too`() async throws {
            let options = ["--socket-group", "4243"]
            try await DaemonUnderTest.use("group-passed", launch: .socketActivation, options: options) { daemon in
                let status = try FileStatus.of(daemon.socket)
                #expect(status.group == 0, "its name, owner and mode are who passed it")
                try #require(chmod(daemon.socket, 0o666) == 0)
                let member = try await ask(daemon, user: 65534, group: 65534, groups: [4243])
                #expect(member.isSuccess && member.output.contains(#""result":"#), "\(member)")
                let other = try await ask(daemon, user: 65534, group: 65534, groups: [])
                #expect(other.output.contains("refused"), "\(other)")
            }
        }

        private func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8) }
    }
}

/// Waits until something is so.
func wait(for what: String, seconds: Int = 60, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            throw DaemonUnderTest.Failure(description: "There is no \(what) after \(seconds) s.")
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}
