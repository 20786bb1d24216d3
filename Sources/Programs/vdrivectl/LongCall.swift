import ArgumentParser
import VDriveClient
import VDriveProtocol

/// How a command of a long method is run.
struct JobOptions: ParsableArguments {
    @Flag(help: "Return at once, and print the job's id; see vdrivectl jobs.") var background = false
}

extension ConnectionOptions {
    /// Starts a job, shows how far it comes, and prints its result.
    ///
    /// - Parameters:
    ///   - what: the command in two words, for the progress.
    ///   - isBackground: prints the job's id in place of its result.
    func reportJob<Method: LongMethod>(
        _ method: Method.Type,
        _ parameters: Method.Parameters,
        what: String,
        isBackground: Bool,
        as output: OutputOptions,
        _ sentence: (Method.Output) -> Shown
    ) throws {
        var connection = try ControlConnection(path: socket)
        let start = JobsStart.Parameters(method: method.name.rawValue, params: try JSONValue(encoding: parameters))
        let answer = try connection.answer(to: JobsStart.self, start)
        var job = try ControlConnection.decode(JobsStart.self, from: answer)
        guard !isBackground else {
            print(output.json ? answer.text : job.id.plain)
            return
        }
        var line = output.json ? nil : ProgressLine(what: what, style: .standardError)
        while job.state == .running {
            let next = JobsWatch.Parameters(id: job.id, afterRevision: job.revision)
            do throws(ControlError) {
                job = try connection.call(JobsWatch.self, next)
            } catch {
                line?.end()
                throw error
            }
            if job.state == .running { line?.update(job.progress) }
        }
        line?.end()
        if let error = job.error.flatMap(RPCError.init) { throw ControlError.rpc(error) }
        let result = job.result ?? .null
        print(output.json ? result.text : sentence(try ControlConnection.decode(method, from: result)).text)
    }
}
