import VDriveProtocol

/// A long method as the table keeps it: what it does, and where its jobs are kept.
struct LongCall<Method: LongMethod>: Sendable {
    let jobs: JobRegistry
    let body: @Sendable (Method.Parameters, JobHandle) async throws(RPCError) -> Method.Output

    /// Starts a job, and does not wait for it.
    func start(_ json: JSONValue?) -> Result<Job, RPCError> {
        do throws(RPCError) {
            let params = try Method.Parameters(strictly: json)
            let disk = Method.disk(of: params)
            return .success(
                try jobs.start(Method.name, disk: disk, most: RPCLimits.jobsStartedMax) { job in
                    await perform(params, job)
                }
            )
        } catch {
            return .failure(error)
        }
    }

    /// Starts a job, and waits for its end.
    func run(_ json: JSONValue?) async -> Result<Answer.Encoding, RPCError> {
        do throws(RPCError) {
            let params = try Method.Parameters(strictly: json)
            let outcome = await jobs.run(Method.name, disk: Method.disk(of: params)) { await perform(params, $0) }
            let text = try outcome.get()
            return .success { .success(text) }
        } catch {
            return .failure(error)
        }
    }

    private func perform(_ params: Method.Parameters, _ job: JobHandle) async -> Result<String, RPCError> {
        do throws(RPCError) {
            return DispatchTable.encode(try await body(params, job))
        } catch {
            return .failure(error)
        }
    }
}
