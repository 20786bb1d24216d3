internal import Curl

// What the answers of HTTP servers mean, in one place.
extension StoreError {
    /// A request without an answer.
    init(_ error: CurlError, at location: String) {
        switch error.kind {
        case .cancelled: self = .cancelled(at: location)
        case .closed: self.init(.unavailable, "The connection to \(location) is closed.")
        case .unreachable:
            self.init(.unavailable, "\(location) cannot be reached (\(error)); check host, port and network.")
        case .insecure:
            self.init(.invalid, "No trusted connection to \(location) (\(error)); check it, or give a CA file.")
        case .timedOut:
            self.init(.unavailable, "\(location) did not answer in time (\(error)); check the server and the network.")
        case .cut:
            self.init(.unavailable, "The connection to \(location) ended before the answer was complete (\(error)).")
        case .bodyTooLarge:
            self.init(.invalid, "\(location) sent more than any object holds (\(error)); check the URL.")
        case .redirect:
            self.init(.invalid, "\(location) redirects to where it is not safe to follow (\(error)); check the URL.")
        case .invalid:
            self.init(.invalid, "The URL of \(location) does not work (\(error)); check how it is written.")
        case .other:
            self.init(.unavailable, "The request to \(location) failed (\(error)).")
        }
    }

    /// An answer that is not the one hoped for.
    init(response: HTTPResponse, method: String, path: String, at location: String) {
        let status = response.status
        let what = "\(location) answered \(status) to \(method) \(path.isEmpty ? "/" : path)"
        let retryAfter = response.header("Retry-After").flatMap { RetryAfter.seconds($0) }
        switch status {
        case 401, 407: self.init(.unauthorized, "\(what): wrong user or password; correct the credentials.")
        case 402, 413, 507: self.init(.full, "\(what): no room; free some space, or raise the quota.")
        case 403: self.init(.forbidden, "\(what): no permission; let the account read and write there.")
        case 404, 410: self.init(.notFound, "\(what): there is no such object.")
        case 405, 501: self.init(.unsupported, "\(what): the server cannot do this; is the URL a WebDAV folder?")
        case 409:
            self.init(.unavailable, "\(what): the folder above is missing or in use.", retryAfterSeconds: retryAfter)
        case 408, 423, 425, 429, 500, 502, 503, 504, 509, 520...529:
            self.init(.unavailable, "\(what): it is busy or broken for now.", retryAfterSeconds: retryAfter)
        case 300..<400: self.init(.invalid, "\(what): a redirect; use the URL that it leads to.")
        default: self.init(.invalid, "\(what), which a WebDAV server should not; check the URL.")
        }
    }
}
