import Foundation
import Testing
import VDriveTestKit

/// `contrib/docs`: completions and man pages that know every command, and that their readers take without complaint.
@Suite struct ControlDocsTests {
    private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../contrib/docs").standardizedFileURL.path
    private static let commands = [
        "create", "import", "configure", "attach", "detach", "status", "sync", "cache evict", "cache ls",
        "cache limits", "cache pin", "cache pins", "cache prefetch", "cache unpin", "stats", "events",
        "jobs list", "jobs watch", "jobs cancel", "daemon config", "call", "doctor",
    ]

    private func withPages(_ body: (URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("vdrive-docs-\(UInt64.random(in: .min ... .max))")
        defer { try? FileManager.default.removeItem(at: folder) }
        let programs = URL(fileURLWithPath: try DaemonUnderTest.program("vdrivectl")).deletingLastPathComponent().path
        try await mustRun([Self.script, folder.path, programs])
        try await body(folder)
    }

    @Test(.timeLimit(.minutes(1)))
    func `the man pages name every command and are without warnings`() async throws {
        try await withPages { folder in
            let pages = [
                "vdrivectl": "man/man1/vdrivectl.1", "vdrived": "man/man8/vdrived.8",
                "vdrive-exporter": "man/man8/vdrive-exporter.8",
            ]
            for (program, place) in pages {
                let page = folder.appendingPathComponent(place).path
                for checker in [["groff", "-man", "-Tutf8", "-ww", "-z", page], ["man", "--warnings", "-l", page]] {
                    let answer = try await runProgram(["env", "MANWIDTH=100", "LC_ALL=C.UTF-8"] + checker)
                    #expect(answer.isSuccess && answer.errors.isEmpty, "\(answer)")
                }
                let text = try await mustRun(["env", "MANWIDTH=100", "LC_ALL=C.UTF-8", "man", "-l", page])
                #expect(text.contains(#/(?m)^NAME\n +(vdrivectl|vdrived|vdrive-exporter) - /#), "\(text)")
                #expect(text.contains(program) && text.contains("--socket") && text.contains("SEE ALSO"), "\(text)")
                guard program == "vdrivectl" else { continue }
                for command in Self.commands {
                    #expect(text.contains("\n   \(command)\n       vdrivectl \(command) "), "\(command): \(text)")
                }
                for word in ["EXIT CODES", "ENVIRONMENT", "VDRIVE_SOCKET", "NO_COLOR", "--keep-local-as", "[seconds]"] {
                    #expect(text.contains(word), "\(word): \(text)")
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `the completions know every command, and bash completes with them`() async throws {
        try await withPages { folder in
            let scripts = [
                "bash-completion/completions/", "zsh/site-functions/_", "fish/vendor_completions.d/",
            ]
            for (shell, place) in zip(["bash", "zsh", "fish"], scripts) {
                for program in ["vdrivectl", "vdrived", "vdrive-exporter"] {
                    let path = folder.path + "/" + place + program + (shell == "fish" ? ".fish" : "")
                    let text = try String(contentsOfFile: path, encoding: .utf8)
                    #expect(text.contains(program), "\(path)")
                    if shell == "bash" { try await mustRun(["bash", "-n", path]) }
                    guard program == "vdrivectl" else { continue }
                    for word in Set(Self.commands.flatMap { $0.split(separator: " ") }) {
                        #expect(text.contains(word), "\(word) is not in \(path)")
                    }
                }
            }
            let complete = """
                . "$0"
                COMP_WORDS=(vdrivectl "$@") COMP_CWORD=$# COMP_LINE="vdrivectl $*" COMP_POINT=${#COMP_LINE}
                COMP_TYPE=9
                _vdrivectl vdrivectl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
                printf '%s\\n' "${COMPREPLY[@]}"
                """
            let script = "\(folder.path)/bash-completion/completions/vdrivectl"
            for (words, found) in [(["det"], "detach"), (["cache", "ev"], "evict"), (["attach", "--fs", "x"], "xfs")] {
                let answer = try await runProgram(["bash", "-c", complete, script] + words)
                let choices = answer.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
                #expect(choices == [found], "\(words): \(answer)")
            }
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `the script says how it is used, and what it lacks`() async throws {
        let usage = try await runProgram([Self.script])
        #expect(usage.status == 2 && usage.errors.contains("contrib/docs OUTDIR"), "\(usage)")
        let empty = try await runProgram([Self.script, "/nonexistent-out", "/nonexistent-bin"])
        #expect(!empty.isSuccess && empty.errors.hasPrefix("docs: /nonexistent-bin/"), "\(empty)")
    }
}
