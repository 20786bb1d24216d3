import Foundation
import Testing
import VDriveTestKit

/// `contrib/install` and the units of `contrib/systemd`.
@Suite struct InstallTests {
    private static let contrib = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../contrib").standardizedFileURL.path

    private static func installs(_ words: [String]) async throws -> ProgramAnswer {
        let programs = URL(fileURLWithPath: try DaemonUnderTest.program("vdrived")).deletingLastPathComponent().path
        return try await runProgram(["\(contrib)/install", "--binaries", programs] + words)
    }

    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("vdrive-install-\(UInt64.random(in: .min ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(folder.resolvingSymlinksInPath().path)
    }

    private func files(_ folder: String) throws -> Set<String> {
        Set(try filesBelow(URL(fileURLWithPath: folder)).keys)
    }

    private func everything(_ folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).sorted()
    }

    @Test(.timeLimit(.minutes(2)), arguments: ["--root", "--prefix"])
    func `an install brings all that is needed, and an uninstall leaves nothing`(option: String) async throws {
        try await withFolder { folder in
            let answer = try await Self.installs([option, folder])
            #expect(answer.isSuccess && answer.errors.isEmpty, "\(answer)")
            let prefix = option == "--root" ? "usr/local/" : ""
            let found = try files(folder)
            for file in [
                "bin/vdrived", "bin/vdrivectl", "lib/systemd/system/vdrived.service",
                "lib/systemd/system/vdrived.socket", "lib/sysusers.d/vdrive.conf", "share/man/man8/vdrived.8",
                "share/man/man1/vdrivectl.1", "share/bash-completion/completions/vdrivectl",
                "share/zsh/site-functions/_vdrived", "share/fish/vendor_completions.d/vdrivectl.fish",
                "share/doc/vdrive/vdrived.toml",
            ] { #expect(found.contains(prefix + file), "\(file)") }
            #expect(found.contains("etc/vdrive/vdrived.toml"))
            let unit = try String(
                contentsOfFile: "\(folder)/\(prefix)lib/systemd/system/vdrived.service",
                encoding: .utf8
            )
            let start =
                option == "--root"
                ? "/usr/local/bin/vdrived" : "\(folder)/bin/vdrived --config \(folder)/etc/vdrive/vdrived.toml"
            #expect(unit.contains("\nExecStart=\(start)\n"), "\(unit)")
            #expect(try await mustRun(["\(folder)/\(prefix)bin/vdrivectl", "--version"]).count > 3)

            // Once more: the same, and still all of it is known.
            let again = try await Self.installs([option, folder])
            #expect(again.isSuccess && again.errors.isEmpty, "\(again)")
            #expect(try files(folder) == found)
            let removed = try await Self.installs(["--uninstall", option, folder])
            #expect(removed.isSuccess && removed.errors.isEmpty, "\(removed)")
            #expect(try everything(folder) == [])
            let nothing = try await Self.installs(["--uninstall", option, folder])
            #expect(nothing.status == 1 && nothing.errors.contains("nothing is installed"), "\(nothing)")
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `a configuration is never overwritten, and what is others' stays`() async throws {
        try await withFolder { folder in
            let etc = "\(folder)/etc/vdrive"
            let own = "log-level = 'debug'\n"
            func write(_ path: String) throws {
                let place = URL(fileURLWithPath: path)
                try FileManager.default.createDirectory(
                    at: place.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try Data(own.utf8).write(to: place)
            }
            // One that was there before.
            try write("\(etc)/vdrived.toml")
            try write("\(folder)/usr/local/bin/other")
            try write("\(folder)/var/lib/vdrive/disks.d/films.toml")
            #expect(try await Self.installs(["--root", folder]).isSuccess)
            #expect(try String(contentsOfFile: "\(etc)/vdrived.toml", encoding: .utf8) == own)
            #expect(try await Self.installs(["--uninstall", "--root", folder]).isSuccess)
            let left: Set = [
                "etc/vdrive/vdrived.toml", "usr/local/bin/other", "var/lib/vdrive/disks.d/films.toml",
            ]
            #expect(try files(folder) == left)

            // One that the install wrote, and somebody changed.
            try FileManager.default.removeItem(atPath: "\(etc)/vdrived.toml")
            #expect(try await Self.installs(["--root", folder]).isSuccess)
            try write("\(etc)/vdrived.toml")
            #expect(try await Self.installs(["--root", folder]).isSuccess)
            let answer = try await Self.installs(["--uninstall", "--root", folder])
            #expect(answer.isSuccess && answer.output.contains("kept, because it was changed"), "\(answer)")
            #expect(try files(folder) == left)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `the script says how it is used, and what it lacks`() async throws {
        for words in [["--fly"], ["--prefix"]] {
            let usage = try await runProgram(["\(Self.contrib)/install"] + words)
            #expect(usage.status == 2 && usage.errors.contains("contrib/install [--prefix DIR]"), "\(usage)")
        }
        for (words, says) in [
            (["--prefix", "relative"], "absolute"), (["--root", "/tmp/a b"], "without spaces"),
            (["--root", "/nonexistent", "--binaries", "/nonexistent"], "there is no /nonexistent/vdrived"),
        ] {
            let answer = try await runProgram(["\(Self.contrib)/install"] + words)
            #expect(answer.status == 1 && answer.errors.hasPrefix("install: "), "\(answer)")
            #expect(answer.errors.contains(says), "\(answer)")
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `systemd finds nothing wrong with the units, and scores them`() async throws {
        try await withFolder { folder in
            #expect(try await Self.installs(["--prefix", folder]).isSuccess)
            let place = "\(folder)/lib/systemd/system"
            // The exporter's unit is checked also where its program is not built: any other one stands for it.
            let unit = "\(place)/vdrive-exporter.service"
            if !FileManager.default.fileExists(atPath: unit) {
                let text = try String(
                    contentsOfFile: "\(Self.contrib)/systemd/vdrive-exporter.service",
                    encoding: .utf8
                )
                try text.replacing("/usr/local/bin/vdrive-exporter", with: "\(folder)/bin/vdrivectl")
                    .write(toFile: unit, atomically: true, encoding: .utf8)
            }
            let units = ["vdrived.socket", "vdrived.service", "vdrive-exporter.service"].map { "\(place)/\($0)" }
            let verify = try await runProgram(["systemd-analyze", "verify"] + units)
            #expect(verify.isSuccess && verify.errors.isEmpty && verify.output.isEmpty, "\(verify)")
            // In tenths, the lower the safer; a unit that loses its protection is above.
            for (unit, most) in [(units[1], 50), (units[2], 15)] {
                let answer = try await runProgram([
                    "systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=\(most)", unit,
                ])
                let last = answer.output.split(separator: "\n").last ?? ""
                say("\(last.drop { $0 == " " || !$0.isASCII })")
                #expect(answer.isSuccess, "\(last) \(answer.errors)")
            }
            // What would hide the mounts from the machine.
            let service = try String(contentsOfFile: units[1], encoding: .utf8)
            for word in [
                "PrivateMounts", "PrivateTmp", "PrivateDevices", "ProtectSystem", "ProtectHome", "ReadOnlyPaths",
                "ReadWritePaths", "InaccessiblePaths", "DynamicUser", "ProtectKernel", "ProtectControlGroups",
                "ProtectProc", "ProcSubset", "MountFlags", "RootDirectory", "TemporaryFileSystem", "BindPaths",
            ] { #expect(!service.contains("\n\(word)"), "\(word)") }
        }
    }
}
