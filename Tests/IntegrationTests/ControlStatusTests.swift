import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// `vdrivectl status` for people: again and again, in colours, and with all that is wrong.
    @Suite(.serialized)
    struct ControlStatusTests {
        private static let escape: Character = "\u{1B}"

        /// Runs `vdrivectl` for some seconds, and then interrupts it as Ctrl-C does.
        private func interrupted(_ daemon: DaemonUnderTest, _ words: [String], after: Double) async throws
            -> ProgramAnswer
        {
            // Threads of tests have signals blocked, and children inherit that.
            let timeout = ["env", "--default-signal", "timeout", "--preserve-status", "-s", "INT", "\(after)"]
            return try await runProgram(
                timeout + [DaemonUnderTest.program("vdrivectl"), "--socket", daemon.socket] + words
            )
        }

        /// Runs `vdrivectl` on a terminal of its own.
        private func onTerminal(
            _ daemon: DaemonUnderTest,
            _ words: String,
            environment: [String] = []
        ) async throws -> String {
            let program = try DaemonUnderTest.program("vdrivectl")
            let clean = ["env", "--default-signal", "-u", "NO_COLOR", "TERM=xterm"] + environment
            return try await mustRun(
                clean
                    + ["script", "-qefc", "\(words) --socket \(daemon.socket)", "/dev/null"]
                    .map { $0.replacingOccurrences(of: "CTL", with: program) }
            )
        }

        @Test(.timeLimit(.minutes(1)))
        func `watch appends lines, or JSON, and ends well with SIGINT`() async throws {
            try await DaemonUnderTest.use("watch") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                for words in [["status", "--watch", "0.2"], ["status", "first", "--watch", "0.2"]] {
                    let answer = try await interrupted(daemon, words, after: 1.5)
                    #expect(answer.isSuccess && answer.errors.isEmpty, "\(answer)")
                    #expect(!answer.output.contains(Self.escape), "\(answer)")
                    let lines = answer.output.split(separator: "\n").map { $0.split(separator: " ") }
                    #expect(lines.count >= 3 && lines[0].prefix(3) == ["TIME", "NAME", "STATE"], "\(answer)")
                    for line in lines.dropFirst() {
                        #expect(line[1...2] == ["first", "detached"], "\(answer)")
                        #expect(line[0].wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) != nil, "\(answer)")
                    }
                }
                let answer = try await interrupted(daemon, ["status", "first", "--json", "--watch", "0.2"], after: 1.5)
                #expect(answer.isSuccess, "\(answer)")
                let lines = answer.output.split(separator: "\n")
                #expect(lines.count >= 2)
                for line in lines { #expect(try JSONValue(parsing: line.utf8)["name"] == .string("first")) }
                // Without a number, every two seconds: one frame in one.
                let slow = try await interrupted(daemon, ["status", "--watch"], after: 1)
                #expect(slow.isSuccess && slow.output.split(separator: "\n").count == 2, "\(slow)")
                for seconds in ["0", "3601", "nan"] {
                    let answer = try await daemon.ctl(["status", "--watch=\(seconds)"])
                    #expect(answer.status == 2 && answer.errors.contains("0.1 to 3600"), "\(answer)")
                }
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a watch ends with 3 when the daemon goes`() async throws {
            try await DaemonUnderTest.use("watch-gone") { daemon in
                async let answer = interrupted(daemon, ["status", "--watch", "0.1"], after: 30)
                try await Task.sleep(for: .seconds(1))
                try await daemon.terminate()
                let ended = try await answer
                #expect(ended.status == 3 && ended.errors.contains("start vdrived"), "\(ended)")
                #expect(ended.output.hasPrefix("TIME"), "\(ended)")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `a terminal sees colours and one picture, with NO_COLOR only the picture`() async throws {
            try await DaemonUnderTest.use("colours") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                _ = try await daemon.attachImage("first")
                let green = "\u{1B}[32mattached\u{1B}[0m"
                for words in ["CTL status", "CTL status first"] {
                    #expect(try await onTerminal(daemon, words).contains(green))
                    let plain = try await onTerminal(daemon, words, environment: ["NO_COLOR=1"])
                    #expect(plain.contains("attached") && !plain.contains(Self.escape), "\(plain)")
                    let dumb = try await onTerminal(daemon, words, environment: ["TERM=dumb"])
                    #expect(dumb.contains("attached") && !dumb.contains(Self.escape), "\(dumb)")
                }
                let watch = "timeout --foreground --preserve-status -s INT 1 CTL status --watch 0.2"
                let picture = try await onTerminal(daemon, watch)
                #expect(picture.hasPrefix("\u{1B}[2J\u{1B}[H") && picture.contains(green), "\(picture)")
                #expect(picture.components(separatedBy: "\u{1B}[H").count >= 4, "\(picture)")
                #expect(!picture.contains("TIME"), "\(picture)")
                let plain = try await onTerminal(daemon, watch, environment: ["NO_COLOR=1"])
                #expect(plain.hasPrefix("\u{1B}[2J\u{1B}[H") && !plain.contains("\u{1B}[3"), "\(plain)")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `status NAME shows the last error, lost objects and warnings`() async throws {
            try await DaemonUnderTest.use("status-trouble") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("first", size: "16M", on: remote, "--chunk-size", "64K")
                let image = try await daemon.attachImage("first")
                try await mustRun(["dd", "if=/dev/urandom", "of=\(image)", "bs=64K", "count=1", "conv=notrunc,fsync"])
                try await daemon.mustCtl("cache", "evict", "first", "--wait")
                let biggest = try #require(try remote.objects().max { $0.value < $1.value }?.key)
                try FileManager.default.removeItem(at: remote.folder.appendingPathComponent(biggest))
                let read = try await runProgram(["dd", "if=\(image)", "of=/dev/null", "bs=64K", "count=1"])
                #expect(!read.isSuccess, "\(read)")
                let text = try await daemon.mustCtl("status", "first")
                let lost = try #require(text.firstMatch(of: /lost objects +1: (\S+)/), "\(text)")
                #expect(biggest.hasSuffix(lost.1), "\(biggest) is not in \(text)")
                let status = try await daemon.status("first")
                for warning in status.warnings ?? [] { #expect(text.contains(warning), "\(text)") }
                if let error = status.lastError { #expect(text.contains(error), "\(text)") }
                #expect(text.contains("64.0 KiB") && text.contains("16.0 MiB"), "\(text)")
                try await daemon.mustCtl("detach", "first")
                try FileManager.default.removeItem(at: remote.folder)
                let attach = try await daemon.ctl(["attach", "first", "--fs", "none"])
                #expect(!attach.isSuccess, "\(attach)")
                let failed = try await daemon.mustCtl("status", "first")
                #expect(failed.contains(/state +failed/) && failed.contains(/last error +\w/), "\(failed)")
                #expect(try await onTerminal(daemon, "CTL status").contains("\u{1B}[31mfailed\u{1B}[0m"))
            }
        }
    }
}
