/// The stable error codes of the protocol; `Protocol/errors.md` is the same table with what a user should do.
package enum ErrorCode: Int, CaseIterable, Sendable {
    // JSON-RPC 2.0, section 5.1
    case parseError = -32700
    case invalidRequest = -32600
    case methodNotFound = -32601
    case invalidParams = -32602
    case `internal` = -32603
    // ours
    case retry = -32001
    case fixConfiguration = -32002
    case fenced = -32003
    case diverged = -32004
    case corrupt = -32005
    case outOfSpace = -32006
    case notFound = -32007
    case exists = -32008
    case busy = -32009
    case refused = -32010

    /// The code's word, as `error.data.kind` carries it.
    package var kind: String {
        switch self {
        case .parseError: "parseError"
        case .invalidRequest: "invalidRequest"
        case .methodNotFound: "methodNotFound"
        case .invalidParams: "invalidParams"
        case .internal: "internal"
        case .retry: "retry"
        case .fixConfiguration: "fixConfiguration"
        case .fenced: "fenced"
        case .diverged: "diverged"
        case .corrupt: "corrupt"
        case .outOfSpace: "outOfSpace"
        case .notFound: "notFound"
        case .exists: "exists"
        case .busy: "busy"
        case .refused: "refused"
        }
    }
}

/// Why a call was not done: a code for programs, and one sentence for people with the cause and what to do.
///
/// The sentence never holds a secret.
package struct RPCError: Error, Equatable, Sendable, CustomStringConvertible {
    /// One of `ErrorCode`'s, or one that this client does not know yet.
    package let rawCode: Int
    package let message: String

    package init(_ code: ErrorCode, _ message: String) {
        self.rawCode = code.rawValue
        self.message = message
    }

    package var code: ErrorCode? { ErrorCode(rawValue: rawCode) }
    package var description: String { message }

    /// The error object of a response.
    package var json: JSONValue {
        var fields: [String: JSONValue] = ["code": .integer(Int64(rawCode)), "message": .string(message)]
        if let code { fields["data"] = .object(["kind": .string(code.kind)]) }
        return .object(fields)
    }

    /// Reads the error object of a response; nil when it is none.
    package init?(json: JSONValue) {
        guard case .integer(let code)? = json["code"], case .string(let message)? = json["message"],
            let rawCode = Int(exactly: code)
        else { return nil }
        self.rawCode = rawCode
        self.message = message
    }
}
