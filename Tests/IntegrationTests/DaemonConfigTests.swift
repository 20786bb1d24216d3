import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The daemon's file and environment, and credentials from elsewhere, with real daemons.
    @Suite(.serialized)
    struct DaemonConfigTests {
        @Test(.timeLimit(.minutes(2)))
        func `file, environment and command line each count where they should`() async throws {
            let scratch = try makeScratchFolder("config")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let file = "\(scratch.path)/vdrived.toml"
            try Data("log-level = 'error'\nsocket = '/nowhere/socket'\nsocket-group = '0'\n".utf8)
                .write(to: URL(fileURLWithPath: file))
            let environment = ["VDRIVE_SOCKET_GROUP": "4243", "VDRIVE_STATE_DIR": "/nowhere"]
            // The last --config counts.
            let options = ["--config", file]
            try await DaemonUnderTest.use("config", environment: environment, options: options) { daemon in
                let text = try await daemon.mustCtl("daemon", "config", "--json")
                let config = try JSONDecoder().decode(DaemonConfig.Output.self, from: Data(text.utf8))
                #expect(config.configFile == .init(file, .commandLine))
                #expect(config.socket == .init(daemon.socket, .commandLine))
                #expect(config.socketGroup == .init("4243", .environment))
                #expect(config.stateDirectory == .init(daemon.stateDirectory, .commandLine))
                #expect(config.logLevel == .init("info", .commandLine))
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `what is wrong keeps the daemon from starting, with one sentence and status 2`() async throws {
            let scratch = try makeScratchFolder("config-bad")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let file = "\(scratch.path)/vdrived.toml"
            try Data("# mine\nstate-dri = '/x'\n".utf8).write(to: URL(fileURLWithPath: file))
            let program = try DaemonUnderTest.program("vdrived")
            let cases: [(environment: [String], options: [String], says: String)] = [
                ([], ["--config", file], "\(file), line 2: the key state-dri is not known"),
                (["VDRIVE_CONFIG=\(file)"], [], "\(file), line 2: "),
                (["VDRIVE_CONFIG=\(file).none"], [], "\(file).none cannot be read"),
                (["VDRIVE_LOG_LEVEL=loud"], ["--config", "/dev/null"], "VDRIVE_LOG_LEVEL must be trace"),
                ([], ["--config", "/dev/null", "--state-dir", "x"], "--state-dir must be an absolute path"),
                ([], ["--config", "/dev/null", "--socket-group", "vdrive-nobody"], "There is no group vdrive-nobody"),
                (["NOTIFY_SOCKET=x"], ["--config", "/dev/null"], "NOTIFY_SOCKET is x"),
            ]
            for (environment, options, says) in cases {
                let answer = try await runProgram(["env"] + environment + [program] + options)
                #expect(answer.status == 2, "\(answer)")
                let sentence = answer.errors.split(separator: "\n").filter { $0.hasPrefix("vdrived: ") }
                #expect(sentence.count == 1 && sentence[0].contains(says), "\(answer)")
            }
        }

        /// A server that wants a password, the file that holds it, and its text.
        private func secret(_ daemon: DaemonUnderTest) async throws -> (remote: TestRemote, text: String) {
            let remote = try await TestRemote.make(.apache, for: daemon)
            return (remote, try String(contentsOfFile: try #require(remote.credentials), encoding: .utf8))
        }

        @Test(.timeLimit(.minutes(3)))
        func `a password from systemd or from the environment opens a remote, and is shown nowhere`() async throws {
            let scratch = try makeScratchFolder("passwords")
            defer { try? FileManager.default.removeItem(at: scratch) }
            let environment = ["CREDENTIALS_DIRECTORY": scratch.path]
            try await DaemonUnderTest.use("passwords", logLevel: "trace", environment: environment) { daemon in
                let (remote, text) = try await secret(daemon)
                try writeSecret(text, to: "\(scratch.path)/nas", mode: 0o400)
                func create(_ name: String, _ credentials: String) async throws -> ProgramAnswer {
                    try await daemon.ctl([
                        "create", name, "--size", "16M", "--remote", "\(remote.url)-\(name)", "--credentials",
                        credentials,
                    ])
                }
                let missing = try await create("films", "env:VDRIVE_TEST_NAS")
                #expect(missing.status == 1 && missing.errors.contains("no environment variable"), "\(missing)")
                let outside = try await create("films", "credential:../nas")
                #expect(outside.status == 1 && outside.errors.contains("names no credential"), "\(outside)")
                let absent = try await create("films", "credential:other")
                #expect(absent.status == 1 && absent.errors.contains("LoadCredential=other:FILE"), "\(absent)")
                let made = try await create("films", "credential:nas")
                #expect(made.isSuccess, "\(made)")
                _ = try await daemon.attachImage("films")

                // From now on by a variable, which a new daemon has.
                let early = try await daemon.ctl(["configure", "films", "--credentials", "env:VDRIVE_TEST_NAS"])
                #expect(early.status == 1 && early.errors.contains("no environment variable"), "\(early)")
                try await daemon.terminate()
                try await daemon.start(environment: environment.merging(["VDRIVE_TEST_NAS": text]) { $1 })
                _ = try await daemon.waitUntilAttached("films")
                let later = try await daemon.mustCtl("configure", "films", "--credentials", "env:VDRIVE_TEST_NAS")
                #expect(later.contains("the credentials count from the next attach on"), "\(later)")
                try FileManager.default.removeItem(atPath: "\(scratch.path)/nas")
                try await daemon.mustCtl("detach", "films")
                _ = try await daemon.attachImage("films")
                try await daemon.mustCtl("detach", "films")
                // Without any, the server refuses; with a wrong one, too, and nobody repeats it.
                let none = try await daemon.mustCtl("configure", "films", "--credentials", "none")
                #expect(!none.contains("next attach"), "it is not attached: \(none)")
                let refused = try await daemon.ctl(["attach", "films", "--fs", "none"])
                #expect(refused.status == 1, "\(refused)")
                let wrong = "username = 'vdrive'\npassword = '\(Self.wrong)'\n"
                try writeSecret(wrong, to: "\(scratch.path)/nas", mode: 0o440)
                try await daemon.mustCtl("configure", "films", "--credentials", "credential:nas")
                let again = try await daemon.ctl(["attach", "films", "--fs", "none"])
                #expect(again.status == 1 && again.errors.contains("wrong user or password"), "\(again)")
                try writeSecret("\(Self.wrong)\n", to: "\(scratch.path)/broken", mode: 0o400)
                let broken = try await daemon.ctl(["configure", "films", "--credentials", "credential:broken"])
                #expect(broken.errors.contains("credential:broken, line 1: this is not TOML"), "\(broken)")

                let file = try String(contentsOfFile: "\(daemon.stateDirectory)/disks.d/films.toml", encoding: .utf8)
                #expect(file.contains("credentials = 'credential:nas'"), "\(file)")
                let shown = [
                    file, daemon.log, try await daemon.mustCtl("status", "films", "--json"),
                    try await daemon.mustCtl("daemon", "config", "--json"), again.errors, broken.errors,
                ]
                for text in shown { #expect(!text.contains(Self.wrong)) }
            }
        }

        /// A password that nothing else can be taken for.
        private static let wrong = "topsecret-4c1b"
    }
}
