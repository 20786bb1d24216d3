import FoundationEssentials
package import VDriveProtocol

/// Method names and what they do. Built once, then read by every connection.
package struct DispatchTable: Sendable {
    /// Takes raw parameters and gives the result, to be made one line of JSON.
    private typealias Call = @Sendable (JSONValue?, Caller?) async -> Result<Answer.Encoding, RPCError>
    /// Takes raw parameters and starts a job.
    package typealias Starter = @Sendable (_ params: JSONValue?) -> Result<Job, RPCError>

    private var calls: [String: Call] = [:]
    private var keys: [String: Set<String>] = [:]
    /// How the long methods are started without waiting for their end.
    package private(set) var starters: [String: Starter] = [:]
    /// Where connections get their events from; nil when there are none.
    package var events: EventHub?
    /// What goes through the control socket; `stats.get` tells it.
    let traffic = ControlTraffic()

    package init() {}

    /// The names that are answered.
    package var names: Set<String> { Set(calls.keys) }

    /// The names of a method's parameters; nil when there is no such method.
    package func parameters(of method: String) -> Set<String>? { keys[method] }

    /// Adds a method.
    ///
    /// - Precondition: the method was not added before.
    package mutating func add<Method: RPCMethod>(
        _ method: Method.Type,
        _ body: @escaping @Sendable (Method.Parameters) async throws(RPCError) -> Method.Output
    ) {
        add(method) { (params, _) throws(RPCError) in try await body(params) }
    }

    /// Adds a method that wants to know who calls; nil for a call that came over no connection.
    ///
    /// - Precondition: the method was not added before.
    package mutating func add<Method: RPCMethod>(
        _ method: Method.Type,
        _ body: @escaping @Sendable (Method.Parameters, Caller?) async throws(RPCError) -> Method.Output
    ) {
        add(method, call: { params, caller in await Self.run(method, params, caller, body) })
    }

    /// Adds a method whose calls are jobs: they are answered at their end, and seen in `jobs.list` meanwhile.
    ///
    /// - Parameter body: gets the job, to tell how far it has come.
    /// - Precondition: the method was not added before.
    package mutating func add<Method: LongMethod>(
        _ method: Method.Type,
        in jobs: JobRegistry,
        _ body: @escaping @Sendable (Method.Parameters, JobHandle) async throws(RPCError) -> Method.Output
    ) {
        let call = LongCall<Method>(jobs: jobs, body: body)
        starters[method.name.rawValue] = { call.start($0) }
        add(method, call: { params, _ in await call.run(params) })
    }

    private mutating func add<Method: RPCMethod>(_ method: Method.Type, call: @escaping Call) {
        let name = method.name.rawValue
        precondition(calls[name] == nil, "\(name) is there twice")
        keys[name] = Method.Parameters.keys
        calls[name] = call
    }

    /// Adds a method without parameters whose result never changes: it is encoded once.
    ///
    /// - Precondition: as for the other methods; and the result can be encoded.
    package mutating func add<Method: RPCMethod>(_ method: Method.Type, always output: Method.Output)
    where Method.Parameters == NoParameters {
        guard case .success(let result) = Self.encode(output) else {
            preconditionFailure("\(method.name.rawValue) cannot be encoded")
        }
        add(
            method,
            call: { params, _ in
                do throws(RPCError) {
                    _ = try NoParameters(strictly: params)
                    return .success { .success(result) }
                } catch {
                    return .failure(error)
                }
            }
        )
    }

    private static func run<Method: RPCMethod>(
        _ method: Method.Type,
        _ params: JSONValue?,
        _ caller: Caller?,
        _ body: @Sendable (Method.Parameters, Caller?) async throws(RPCError) -> Method.Output
    ) async -> Result<Answer.Encoding, RPCError> {
        do throws(RPCError) {
            let output = try await body(try Method.Parameters(strictly: params), caller)
            return .success { encode(output) }
        } catch {
            return .failure(error)
        }
    }

    /// Answers one call.
    ///
    /// - Parameter caller: nil for a call that came over no connection.
    /// - Returns: nil for a notification, whatever came of it.
    package func answer(_ call: RPCLine.Call, from caller: Caller? = nil) async -> Answer? {
        await single(call, caller).map { .single($0) }
    }

    /// Answers all calls of a batch at the same time.
    ///
    /// - Returns: the responses in any order; nil when all calls were notifications.
    package func answer(_ batch: [RPCLine.Call], from caller: Caller? = nil) async -> Answer? {
        let answers = await withTaskGroup(of: Answer.Single?.self) { group in
            for call in batch { group.addTask { await single(call, caller) } }
            return await group.reduce(into: [Answer.Single]()) { answers, answer in
                if let answer { answers.append(answer) }
            }
        }
        return answers.isEmpty ? nil : .batch(answers)
    }

    private func single(_ call: RPCLine.Call, _ caller: Caller?) async -> Answer.Single? {
        switch call {
        case .failure(let failure):
            traffic.noteCall(hasFailed: true)
            return Answer.Single(id: failure.id, outcome: .failure(failure.error))
        case .success(let request):
            let outcome = await outcome(of: request, caller)
            if case .success = outcome { traffic.noteCall(hasFailed: false) } else { traffic.noteCall(hasFailed: true) }
            return request.id.map { Answer.Single(id: $0, outcome: outcome) }
        }
    }

    private func outcome(of request: RPCRequest, _ caller: Caller?) async -> Result<Answer.Encoding, RPCError> {
        guard let call = calls[request.method] else {
            let name = JSONValue.string(String(request.method.prefix(80))).text
            return .failure(RPCError(.methodNotFound, "There is no method \(name)."))
        }
        return await call(request.params, caller)
    }

    static func encode(_ output: some Encodable) -> Result<String, RPCError> {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let text = try? encoder.encode(output) else {
            return .failure(RPCError(.internal, "The result cannot be encoded; the daemon's log may say more."))
        }
        return .success(String(decoding: text, as: UTF8.self))
    }
}
