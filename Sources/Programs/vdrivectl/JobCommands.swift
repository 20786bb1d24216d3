import ArgumentParser
import VDriveClient
import VDriveProtocol

struct Jobs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What takes long: it runs in the daemon, whoever waits for it.",
        subcommands: [List.self, Watch.self, Cancel.self]
    )

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows what runs, and what has ended lately.")

        private static let columns = ["JOB", "KIND", "DISK", "STATE", "PROGRESS", "STARTED"]

        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(JobsList.self, NoParameters(), as: output) { list in
                guard !list.jobs.isEmpty else { return "no jobs" }
                var table = Table(columns: Self.columns, style: .standardOutput)
                for job in list.jobs {
                    let row = [
                        job.id, job.kind, job.disk ?? "-", job.state.rawValue, Self.progress(job), job.startedAt,
                    ]
                    table.add(row, colours: [3: Colour(job.state)])
                }
                return Shown(table)
            }
        }

        private static func progress(_ job: Job) -> String {
            if let total = job.progress.total, total > 0 {
                return "\(Int(Double(job.progress.done) / Double(total) * 100)) %"
            }
            return job.state == .running ? job.progress.phase ?? "-" : "-"
        }
    }

    struct Watch: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Waits for a job's end, and shows its progress; the job goes on without it.",
            discussion:
                "It ends as the job's own command would have. With --json it prints the job whenever it changes."
        )

        @Argument(help: "The job's id.") var id: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            var daemon = try ControlConnection(path: connection.socket)
            var line: ProgressLine?
            var parameters = JobsWatch.Parameters(id: id)
            while true {
                let answer = try daemon.answer(to: JobsWatch.self, parameters)
                let job = try ControlConnection.decode(JobsWatch.self, from: answer)
                if output.json, job.revision != parameters.afterRevision { show(answer.text + "\n") }
                parameters.afterRevision = job.revision
                guard job.state == .running else { return try end(job, &line) }
                guard !output.json else { continue }
                var shown = line ?? ProgressLine(what: Self.name(job), style: .standardError)
                shown.update(job.progress)
                line = shown
            }
        }

        private func end(_ job: Job, _ line: inout ProgressLine?) throws {
            line?.end()
            if let error = job.error.flatMap(RPCError.init) { throw ControlError.rpc(error) }
            if !output.json { print("\(Self.name(job)): \(job.state.rawValue)".plain) }
        }

        private static func name(_ job: Job) -> String { job.disk.map { "\(job.kind) \($0)" } ?? job.kind }
    }

    struct Cancel: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Asks a job to end early, which it does where nothing is left half done."
        )

        @Argument(help: "The job's id.") var id: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(JobsCancel.self, JobsCancel.Parameters(id: id), as: output) { job in
                "asked \(job.id) to end"
            }
        }
    }
}
