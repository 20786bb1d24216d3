import ArgumentParser
import Glibc
import VDriveClient
import VDriveProtocol

/// The client's entry. Exit codes: 0 fine, 1 failed, 2 usage, 3 daemon not reachable, 4 refused.
@main
struct VDriveCtl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vdrivectl",
        abstract: "Steers vdrived.",
        discussion: """
            EXIT CODES
              0  fine
              1  failed: the daemon could not do it, or the doctor found a problem
              2  usage: the command line, or a value in it, is wrong; nothing was done
              3  not reachable: no daemon answers at the socket, or it went away
              4  refused: possible, but not now or not like this: a name that is taken,
                 a disk in use, or one that is another owner's

            ENVIRONMENT
              VDRIVE_SOCKET  the daemon's socket
              NO_COLOR       when set, nothing is coloured
            """,
        version: DaemonVersion.release,
        subcommands: [
            Create.self, Import.self, Configure.self, Attach.self, Detach.self, Status.self, Sync.self, Destroy.self,
            Cache.self, Upload.self, Stats.self, Events.self, Jobs.self, DaemonGroup.self, Call.self, Doctor.self,
        ]
    )

    @OptionGroup var connection: ConnectionOptions

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            end(error)
        }
    }

    private static func end(_ error: any Error) -> Never {
        switch error {
        case let error as ControlError:
            complain(error.description)
            Glibc.exit(ExitStatus(error).rawValue)
        case let error as Complaint:
            complain(error.sentence)
            Glibc.exit(error.status.rawValue)
        default:
            // Help and version end well; everything else that the parser throws is a wrong command line.
            guard exitCode(for: error) == .success else {
                // It quotes the command line, perhaps with names that a shell has put into it.
                printError(fullMessage(for: error).split(separator: "\n", omittingEmptySubsequences: false))
                Glibc.exit(ExitStatus.usage.rawValue)
            }
            exit(withError: error)
        }
    }

    private static func complain(_ sentence: String) {
        printError(["vdrivectl: \(sentence)"])
    }

    private static func printError(_ lines: [some StringProtocol]) {
        let text = lines.map { String($0).plain + "\n" }.joined()
        Array(text.utf8).withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// What the process says when it ends.
enum ExitStatus: Int32 {
    case fine = 0
    case failed = 1
    case usage = 2
    case notReachable = 3
    case refused = 4

    init(_ error: ControlError) {
        switch error {
        case .notReachable, .disconnected: self = .notReachable
        case .notUnderstood: self = .failed
        case .rpc(let error):
            switch error.code {
            case .invalidParams: self = .usage
            case .refused, .busy, .exists, .fenced, .diverged: self = .refused
            case .parseError, .invalidRequest, .methodNotFound, .internal, .retry, .fixConfiguration, .corrupt,
                .outOfSpace, .notFound, nil:
                self = .failed
            }
        }
    }
}

/// Why a command ends badly, in its own words; most often a command line that the parser took and we cannot.
struct Complaint: Error {
    let sentence: String
    var status = ExitStatus.usage
}
