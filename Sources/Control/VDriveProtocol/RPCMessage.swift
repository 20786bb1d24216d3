/// The identifier by which a response names its request: a string, a number, or null where none could be read.
package enum RPCID: Hashable, Sendable {
    case null
    case integer(Int64)
    case number(Double)
    case string(String)

    package init?(json: JSONValue) {
        switch json {
        case .null: self = .null
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let value): self = .string(value)
        case .boolean, .array, .object: return nil
        }
    }

    package var json: JSONValue {
        switch self {
        case .null: .null
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        }
    }
}

/// One call. Without an identifier it is a notification, and nothing answers it.
package struct RPCRequest: Hashable, Sendable {
    package var id: RPCID?
    package var method: String
    package var params: JSONValue?

    package init(id: RPCID?, method: String, params: JSONValue? = nil) {
        self.id = id
        self.method = method
        self.params = params
    }

    /// Reads a call, strictly: `jsonrpc` must be "2.0", `params` an object (none of our methods has positional ones).
    package init(json: JSONValue) throws(RPCError) {
        guard case .object(let fields) = json else {
            throw RPCError(.invalidRequest, "A request is a JSON object.")
        }
        guard fields["jsonrpc"] == .string("2.0") else {
            throw RPCError(.invalidRequest, #"The request lacks "jsonrpc":"2.0"."#)
        }
        if let id = fields["id"] {
            guard let id = RPCID(json: id) else {
                throw RPCError(.invalidRequest, "The request's id is neither a string nor a number nor null.")
            }
            self.id = id
        }
        guard case .string(let method)? = fields["method"] else {
            throw RPCError(.invalidRequest, "The request lacks a method name.")
        }
        self.method = method
        switch fields["params"] {
        case .object?, .array?, nil: params = fields["params"]
        default: throw RPCError(.invalidRequest, "The request's params are neither an object nor an array.")
        }
        let known: Set = ["jsonrpc", "id", "method", "params"]
        if let unknown = fields.keys.filter({ !known.contains($0) }).min() {
            throw RPCError(.invalidRequest, "The request has an unknown field, \(JSONValue.string(unknown).text).")
        }
    }

    /// One line of JSON, without the newline.
    package var line: String {
        var fields: [String: JSONValue] = ["jsonrpc": .string("2.0"), "method": .string(method)]
        fields["id"] = id?.json
        fields["params"] = params
        return JSONValue.object(fields).text
    }
}

/// The answer to one request.
package struct RPCResponse: Equatable, Sendable {
    package var id: RPCID
    package var outcome: Result<JSONValue, RPCError>

    package init(id: RPCID, outcome: Result<JSONValue, RPCError>) {
        self.id = id
        self.outcome = outcome
    }

    /// Reads a response; nil when the value is none.
    package init?(json: JSONValue) {
        guard json["jsonrpc"] == .string("2.0"), let id = json["id"].flatMap(RPCID.init) else { return nil }
        self.id = id
        if let result = json["result"] {
            outcome = .success(result)
        } else if let error = json["error"].flatMap(RPCError.init) {
            outcome = .failure(error)
        } else {
            return nil
        }
    }

    package var json: JSONValue {
        var fields: [String: JSONValue] = ["jsonrpc": .string("2.0"), "id": id.json]
        switch outcome {
        case .success(let result): fields["result"] = result
        case .failure(let error): fields["error"] = error.json
        }
        return .object(fields)
    }

    /// One line of JSON, without the newline.
    package var line: String { json.text }
}

/// A message of the daemon that answers no request.
package struct RPCNotification: Hashable, Sendable {
    package var method: String
    package var params: JSONValue

    package init(method: String, params: JSONValue) {
        self.method = method
        self.params = params
    }

    /// Reads a notification of the daemon; nil when the value is none.
    package init?(json: JSONValue) {
        guard json["jsonrpc"] == .string("2.0"), json["id"] == nil, case .string(let method)? = json["method"] else {
            return nil
        }
        self.method = method
        params = json["params"] ?? .object([:])
    }

    package var line: String {
        JSONValue.object(["jsonrpc": .string("2.0"), "method": .string(method), "params": params]).text
    }
}

/// One line that a client sent: one call, or a batch of them. A call that cannot be understood is an error in its
/// place.
package enum RPCLine: Equatable, Sendable {
    package typealias Call = Result<RPCRequest, RPCCallError>

    case single(Call)
    case batch([Call])

    /// - Throws: `RPCError` when the line as a whole is not understood; its answer has the null identifier.
    package init(parsing line: some Collection<UInt8>) throws(RPCError) {
        let json: JSONValue
        do {
            json = try JSONValue(parsing: line)
        } catch {
            throw RPCError(.parseError, "The line is not JSON: \(error).")
        }
        guard case .array(let calls) = json else {
            self = .single(Self.call(json))
            return
        }
        guard !calls.isEmpty else { throw RPCError(.invalidRequest, "The batch is empty.") }
        guard calls.count <= RPCLimits.batchCallsMax else {
            throw RPCError(.invalidRequest, "The batch has more than \(RPCLimits.batchCallsMax) calls.")
        }
        self = .batch(calls.map(Self.call))
    }

    private static func call(_ json: JSONValue) -> Call {
        do {
            return .success(try RPCRequest(json: json))
        } catch {
            return .failure(RPCCallError(id: json["id"].flatMap(RPCID.init) ?? .null, error: error))
        }
    }
}

/// A call that is not understood, with the identifier where that much could be read.
package struct RPCCallError: Error, Equatable, Sendable {
    package var id: RPCID
    package var error: RPCError
}
