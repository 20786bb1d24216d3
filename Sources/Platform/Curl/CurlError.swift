internal import CCurl

/// Why there is no answer. The text is one sentence and never holds a secret.
package struct CurlError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The caller's task was cancelled.
        case cancelled
        /// The loop was closed.
        case closed
        /// No such host, connection refused, no route.
        case unreachable
        /// TLS: an unknown or wrong certificate, or no common protocol.
        case insecure
        /// A time limit passed.
        case timedOut
        /// The connection ended before the answer was complete.
        case cut
        /// The answer's body is longer than the request allows.
        case bodyTooLarge
        /// A redirect that is not followed: too many of them, or from https to http.
        case redirect
        /// A URL or an option that libcurl refuses.
        case invalid
        /// Anything else.
        case other
    }

    package let kind: Kind
    package let message: String
    /// Whether a part of the request went out, so that the server may have acted on it.
    package let mayHaveArrived: Bool

    package init(_ kind: Kind, _ message: String, mayHaveArrived: Bool) {
        self.kind = kind
        self.message = message
        self.mayHaveArrived = mayHaveArrived
    }

    package var description: String { message }

    init(_ code: CURLcode, reason: String, host: String, mayHaveArrived: Bool) {
        let reason = reason.isEmpty ? String(cString: curl_easy_strerror(code)) : reason
        let kind: Kind
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT: kind = .unreachable
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
            kind = .insecure
        case CURLE_OPERATION_TIMEDOUT: kind = .timedOut
        case CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_HTTP2,
            CURLE_HTTP2_STREAM, CURLE_SEND_FAIL_REWIND:
            kind = .cut
        case CURLE_TOO_MANY_REDIRECTS, CURLE_UNSUPPORTED_PROTOCOL: kind = .redirect
        case CURLE_URL_MALFORMAT, CURLE_BAD_FUNCTION_ARGUMENT, CURLE_UNKNOWN_OPTION: kind = .invalid
        default: kind = .other
        }
        self.init(kind, "\(host): \(reason)", mayHaveArrived: mayHaveArrived)
    }
}
