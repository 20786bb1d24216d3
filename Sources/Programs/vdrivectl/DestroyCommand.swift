import ArgumentParser
import Glibc
import VDriveClient
import VDriveProtocol

struct Destroy: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forgets a detached disk on this machine; with --remote deletes it for all.",
        discussion: """
            Without --remote the disk stays on its remote, and any machine can import it. With --remote its objects \
            there are deleted, and cannot be brought back: vdrivectl asks first, unless --yes or --uuid says that \
            this disk is meant. What stops half-way goes on when it is called again.
            """
    )

    @Argument(help: "The disk's name.") var name: String
    @Flag(help: "Delete the disk on its remote, too.") var remote = false
    @Flag(help: "Do not ask.") var yes = false
    @Option(help: "The disk's uuid, instead of the question.") var uuid: String?
    @Flag(help: "Delete it although another machine has it attached; that one is fenced.") var takeover = false
    @Flag(help: "Throw away what this machine has not uploaded.") var discardLocal = false
    @OptionGroup var job: JobOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if takeover, !remote { throw ValidationError("--takeover goes with --remote.") }
    }

    func run() throws {
        try connection.reportJob(
            DiskDestroy.self,
            DiskDestroy.Parameters(
                name: name,
                remote: remote ? true : nil,
                uuid: remote ? try confirmedUUID() : uuid,
                takeover: takeover ? true : nil,
                discardLocal: discardLocal ? true : nil
            ),
            what: "destroy \(name)",
            isBackground: job.background,
            as: output
        ) { result in
            let objects = "\(result.deletedObjects) \(result.deletedObjects == 1 ? "object" : "objects")"
            let kept = result.keptFiles.isEmpty ? "" : "; left in its cache: \(result.keptFiles.joined(separator: " "))"
            return "destroyed \(result.name)\(remote ? ", \(objects) deleted on its remote" : "")\(kept)"
        }
    }

    /// The disk's uuid, once a person has said that this disk is meant.
    private func confirmedUUID() throws -> String {
        if let uuid { return uuid }
        let disk = try connection.call(DiskStatusOf.self, DiskNameParameters(name: name))
        if yes { return disk.uuid }
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
            throw Complaint(
                sentence: "To delete \(name) on its remote, say that it is meant: --yes, or --uuid with its uuid."
            )
        }
        let size = ByteSize.text(disk.sizeBytes)
        let question: Shown = "This deletes \(name), \(size) on \(disk.remote.url), for all machines. Type its name: "
        Array(question.text.utf8).withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
        guard readLine() == name else {
            throw Complaint(sentence: "That is not \(name); nothing was changed.", status: .refused)
        }
        return disk.uuid
    }
}
