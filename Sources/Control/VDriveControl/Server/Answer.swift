package import VDriveProtocol

/// What one line of a client is answered with. It becomes text only when it is about to be written: what waits for a
/// client that does not read costs little.
package enum Answer: Sendable {
    /// The text of a result, made when it is asked for.
    typealias Encoding = @Sendable () -> Result<String, RPCError>

    package struct Single: Sendable {
        let id: RPCID
        let outcome: Result<Encoding, RPCError>

        var line: String {
            switch outcome.flatMap({ $0() }) {
            // The result is JSON already: no need to take it apart and put it together again.
            case .success(let result): #"{"id":\#(id.json.text),"jsonrpc":"2.0","result":\#(result)}"#
            case .failure(let error): RPCResponse(id: id, outcome: .failure(error)).line
            }
        }
    }

    case single(Single)
    case batch([Single])

    /// What answers a line that is not understood.
    package static func failure(_ error: RPCError) -> Answer {
        .single(Single(id: .null, outcome: .failure(error)))
    }

    /// The line, without the newline.
    package var line: String {
        switch self {
        case .single(let single): single.line
        case .batch(let all): "[\(all.map(\.line).joined(separator: ","))]"
        }
    }
}
