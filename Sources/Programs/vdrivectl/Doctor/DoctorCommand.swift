import ArgumentParser
import Glibc
import VDriveClient
import VDriveProtocol

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks this machine, the daemon and the disks, and says what to do.",
        discussion: """
            It changes nothing, and also works while the daemon does not run. It ends with 0 when nothing is a \
            problem, and with 1 otherwise; warnings are no problems. Run it as root: others see less.
            """
    )

    /// What `--json` prints.
    private struct Report: Encodable {
        let findings: [Finding]
        let problems: Int
        let warnings: Int
    }

    @Argument(help: "The only disk to look at; all, when left out.") var name: String?
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        let daemon = DaemonChecks(socket: connection.socket, disk: name)
        let (seen, pid) = daemon.findings()
        var findings = MachineChecks.findings() + seen
        findings += LimitChecks.findings(daemon: pid)
        if let pid { findings += SpaceChecks.findings(daemon: pid) }
        findings += MountChecks.findings()
        let report = Report(
            findings: findings,
            problems: findings.count { $0.grade == .problem },
            warnings: findings.count { $0.grade == .warning }
        )
        print(output.json ? try JSONValue(encoding: report).text : Self.text(report, style: .standardOutput))
        if report.problems > 0 { Glibc.exit(ExitStatus.failed.rawValue) }
    }

    private static func text(_ report: Report, style: Style) -> String {
        let width = report.findings.map(\.subject.count).max() ?? 0
        var lines: [String] = []
        for finding in report.findings {
            let word = finding.grade.rawValue
            let grade = style.paint(word, colour(finding.grade)) + String(repeating: " ", count: 9 - word.count)
            let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count + 2)
            lines.append(grade + subject + finding.text.plain)
            if let advice = finding.advice {
                lines.append(String(repeating: " ", count: 9 + width + 2) + "-> " + advice.plain)
            }
        }
        lines.append("")
        lines.append("\(count(report.problems, "problem")), \(count(report.warnings, "warning"))")
        return lines.joined(separator: "\n")
    }

    private static func colour(_ grade: Finding.Grade) -> Colour {
        switch grade {
        case .ok: .green
        case .warning: .yellow
        case .problem: .red
        }
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number == 0 ? "no" : "\(number)") \(noun)\(number == 1 ? "" : "s")"
    }
}
