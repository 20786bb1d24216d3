import VDriveProtocol

/// The group `jobs`. It comes last: `jobs.start` starts what was added before.
package enum JobMethods {
    package static func add(to table: inout DispatchTable, jobs: JobRegistry) {
        let starters = table.starters
        table.add(JobsList.self) { (_) throws(RPCError) in JobsList.Output(jobs: jobs.list()) }
        table.add(JobsWatch.self) { (params) throws(RPCError) in
            guard let revision = params.afterRevision else { return try jobs.job(params.id) }
            return try await jobs.news(of: params.id, after: revision)
        }
        table.add(JobsCancel.self) { (params) throws(RPCError) in try jobs.cancel(params.id) }
        table.add(JobsStart.self) { (params) throws(RPCError) in
            guard let start = starters[params.method] else {
                let known = starters.keys.sorted().joined(separator: ", ")
                throw RPCError(
                    .invalidParams,
                    "The method \(JSONValue.string(String(params.method.prefix(80))).text) cannot be started as a job; "
                        + "those that take long are \(known)."
                )
            }
            return try start(params.params).get()
        }
    }
}
