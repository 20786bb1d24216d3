import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

/// The doctor before a daemon that is made up: what a real one says only of another release, or in rare trouble.
@Suite struct ControlDoctorStatesTests {
    /// Answers one client with what it was given, as a daemon would.
    private static let impostor = """
        import json, os, socket, sys
        path, version, health, disks = sys.argv[1], *map(json.loads, sys.argv[2:])
        version["pid"] = os.getpid()
        answers = {"daemon.version": version, "daemon.health": health, "disk.list": {"disks": disks}}
        server = socket.socket(socket.AF_UNIX)
        server.bind(path + ".new")
        server.listen()
        os.rename(path + ".new", path)
        client, _ = server.accept()
        for line in client.makefile():
            call = json.loads(line)
            answer = {"jsonrpc": "2.0", "id": call["id"], "result": answers[call["method"]]}
            client.sendall((json.dumps(answer) + chr(10)).encode())
        """

    /// The lines of the doctor's that speak of the daemon or a disk, each with its advice behind it.
    private func lines(
        version: String = DaemonVersion.release,
        protocol: Int = DaemonVersion.protocolVersion,
        problems: [String] = [],
        disks: [DiskStatus] = []
    ) async throws -> [String] {
        let socket = FileManager.default.temporaryDirectory
            .appendingPathComponent("vdrive-doctor-\(UInt64.random(in: .min ... .max))").path
        defer { try? FileManager.default.removeItem(atPath: socket) }
        let parts = [
            try JSONValue(encoding: DaemonVersion.Output(version: version, protocol: `protocol`, pid: 0)),
            try JSONValue(
                encoding: DaemonHealth.Output(
                    healthy: problems.isEmpty,
                    uptimeSeconds: 1,
                    disks: [:],
                    problems: problems
                )
            ),
            try JSONValue(encoding: disks),
        ]
        let script = """
            timeout 20 python3 -c "$0" "$2" "$3" "$4" "$5" &
            until [ -S "$2" ]; do sleep 0.05; kill -0 $! || exit 9; done
            "$1" doctor --socket "$2" --json
            status=$?
            wait
            exit $status
            """
        let words = [Self.impostor, try DaemonUnderTest.program("vdrivectl"), socket] + parts.map(\.text)
        let answer = try await runProgram(["sh", "-c", script] + words, timeoutSeconds: 30)
        #expect(answer.errors.isEmpty, "\(answer)")
        let report = try JSONValue(parsing: answer.output.utf8)
        guard case .array(let findings)? = report["findings"] else { return [] }
        return findings.compactMap { finding in
            guard case .string(let subject)? = finding["subject"], case .string(let grade)? = finding["grade"],
                case .string(let text)? = finding["text"], subject == "daemon" || subject.hasPrefix("disk ")
            else { return nil }
            guard case .string(let advice)? = finding["advice"] else { return "\(grade) \(subject): \(text)" }
            return "\(grade) \(subject): \(text) -> \(advice)"
        }
    }

    private func disk(_ state: DiskState, lastError: String? = nil, remoteState: String? = nil) -> DiskStatus {
        var disk = DiskStatus(
            name: "first",
            uuid: "0",
            state: state,
            sizeBytes: 1 << 30,
            chunkBytes: 1 << 22,
            durability: .local,
            uploadIntervalSeconds: 5,
            cachePolicy: .s3fifo,
            cacheLimitBytes: 1 << 30,
            remoteURL: "webdav://host/path"
        )
        disk.lastError = lastError
        disk.remote.state = remoteState
        return disk
    }

    @Test(.timeLimit(.minutes(1)))
    func `another release is a warning, another protocol a problem`() async throws {
        let newer = try await lines(version: "9.0.0")
        #expect(newer.count == 1 && newer[0].hasPrefix("warning daemon: vdrived 9.0.0 answers"), "\(newer)")
        #expect(newer[0].contains("this vdrivectl is \(DaemonVersion.release) -> install both"), "\(newer)")
        let foreign = try await lines(version: "9.0.0", protocol: 9)
        #expect(foreign.count == 1 && foreign[0].hasPrefix("problem daemon: vdrived 9.0.0"), "\(foreign)")
        #expect(foreign[0].contains("speaks protocol 9"), "\(foreign)")
    }

    @Test(.timeLimit(.minutes(1)))
    func `what the daemon says of itself is told once, and what it says of a disk is told there`() async throws {
        let found = try await lines(
            problems: ["The file x.toml cannot be read.", "first is failed: The remote is gone."],
            disks: [disk(.failed, lastError: "The remote is gone.")]
        )
        #expect(
            found.dropFirst() == [
                "problem daemon: The file x.toml cannot be read -> see the daemon's log",
                "problem disk first: failed: The remote is gone -> remove the cause, then `vdrivectl attach first`",
            ]
        )
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            (DiskState.detached, nil, nil, ["ok disk first: detached"]),
            (.detached, "It hurt.", nil, ["warning disk first: detached: It hurt ->"]),
            (.attaching, nil, nil, ["warning disk first: attaching ->"]),
            (.detaching, nil, nil, ["warning disk first: detaching ->"]),
            (
                .attached, nil, "online",
                ["ok disk first: attached", "ok disk first: its remote webdav://host/path is online"]
            ),
            (.attached, nil, "degraded", ["ok disk first: attached", "warning disk first: its remote"]),
            (.attached, nil, "offline", ["ok disk first: attached", "problem disk first: its remote"]),
            (.fenced, "Taken.", nil, ["problem disk first: fenced: Taken -> detach it here; attach --takeover"]),
            (.diverged, "Two.", nil, ["problem disk first: diverged: Two -> choose: attach --discard-local"]),
        ] as [(DiskState, String?, String?, [String])]
    )
    func `each state of a disk has its grade`(
        state: DiskState,
        lastError: String?,
        remoteState: String?,
        expected: [String]
    ) async throws {
        let found = try await lines(disks: [disk(state, lastError: lastError, remoteState: remoteState)]).dropFirst()
        #expect(found.count == expected.count, "\(found)")
        for (line, start) in zip(found, expected) { #expect(line.hasPrefix(start), "\(line)") }
    }
}
