import FoundationEssentials
package import VDriveProtocol

/// Method names and what they do. Built once, then read by every connection.
package struct DispatchTable: Sendable {
    /// Takes raw parameters and gives the result as one line of JSON.
    private typealias Call = @Sendable (JSONValue?) async -> Result<String, RPCError>

    private var calls: [String: Call] = [:]
    private var keys: [String: Set<String>] = [:]
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
        let name = method.name.rawValue
        precondition(calls[name] == nil, "\(name) is there twice")
        keys[name] = Method.Parameters.keys
        calls[name] = { params in await Self.run(method, params, body) }
    }

    private static func run<Method: RPCMethod>(
        _ method: Method.Type,
        _ params: JSONValue?,
        _ body: @Sendable (Method.Parameters) async throws(RPCError) -> Method.Output
    ) async -> Result<String, RPCError> {
        do throws(RPCError) {
            return .success(try encode(try await body(try Method.Parameters(strictly: params))))
        } catch {
            return .failure(error)
        }
    }

    /// Answers one call.
    ///
    /// - Returns: the line of the response, without the newline; nil for a notification, whatever came of it.
    package func answer(_ call: RPCLine.Call) async -> String? {
        switch call {
        case .failure(let failure):
            traffic.noteCall(.failure(failure.error))
            return RPCResponse(id: failure.id, outcome: .failure(failure.error)).line
        case .success(let request):
            let outcome = await outcome(of: request)
            traffic.noteCall(outcome)
            guard let id = request.id else { return nil }
            switch outcome {
            // The result is JSON already: no need to take it apart and put it together again.
            case .success(let result): return #"{"id":\#(id.json.text),"jsonrpc":"2.0","result":\#(result)}"#
            case .failure(let error): return RPCResponse(id: id, outcome: .failure(error)).line
            }
        }
    }

    /// Answers all calls of a batch at the same time.
    ///
    /// - Returns: one line with the responses in any order; nil when all calls were notifications.
    package func answer(_ batch: [RPCLine.Call]) async -> String? {
        let lines = await withTaskGroup(of: String?.self) { group in
            for call in batch { group.addTask { await answer(call) } }
            return await group.reduce(into: [String]()) { lines, line in
                if let line { lines.append(line) }
            }
        }
        return lines.isEmpty ? nil : "[\(lines.joined(separator: ","))]"
    }

    private func outcome(of request: RPCRequest) async -> Result<String, RPCError> {
        guard let call = calls[request.method] else {
            let name = JSONValue.string(String(request.method.prefix(80))).text
            return .failure(RPCError(.methodNotFound, "There is no method \(name)."))
        }
        return await call(request.params)
    }

    private static func encode(_ output: some Encodable) throws(RPCError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(output), as: UTF8.self)
        } catch {
            throw RPCError(.internal, "The result cannot be encoded; the daemon's log may say more.")
        }
    }
}
