/// One HTTP request, with everything that it needs to end by itself.
package struct HTTPRequest: Sendable {
    /// The method as it goes over the wire: `GET`, `PUT`, `PROPFIND` and so on.
    package var method: String
    /// An absolute http or https URL, percent-encoded, without user and password.
    package var url: String
    /// Sent in this order. `Authorization` and `Content-Length` are not for the caller to set.
    package var headers: [(name: String, value: String)]
    /// What to send; nil for a request without a body.
    package var body: [UInt8]?
    package var credentials: HTTPCredentials?
    /// PEM certificates to trust instead of the system's; nil for the system's.
    package var caFile: String?
    package var timeLimits: HTTPTimeLimits
    /// The most that is taken of the answer's body, in bytes; a longer one is an error.
    package var maximumBodyBytes: Int
    /// Uses a connection of its own, so that the request is never sent a second time in silence: libcurl repeats a
    /// request when a kept connection turns out to be dead.
    package var neverSendTwice: Bool

    /// - Parameter method: upper case.
    package init(
        _ method: String,
        _ url: String,
        headers: [(name: String, value: String)] = [],
        body: [UInt8]? = nil,
        credentials: HTTPCredentials? = nil,
        caFile: String? = nil,
        timeLimits: HTTPTimeLimits = HTTPTimeLimits(),
        maximumBodyBytes: Int = 256 << 20,
        neverSendTwice: Bool = false
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.credentials = credentials
        self.caFile = caFile
        self.timeLimits = timeLimits
        self.maximumBodyBytes = maximumBodyBytes
        self.neverSendTwice = neverSendTwice
    }
}

/// User and password for Basic or Digest, whichever the server asks for. Never printed.
package struct HTTPCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
    package var user: String
    package var password: String

    package init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    package var description: String { "credentials (hidden)" }
    package var debugDescription: String { description }
}

/// How long the parts of a request may take, in seconds.
package struct HTTPTimeLimits: Sendable, Hashable {
    /// From the first packet to an established connection, TLS included.
    package var connectSeconds: Int
    /// How long nothing at all may move in either direction, the server's thinking included.
    package var stallSeconds: Int
    /// For all of it, from the moment the request leaves the queue; nil for no limit.
    package var totalSeconds: Int?

    package init(connectSeconds: Int = 15, stallSeconds: Int = 60, totalSeconds: Int? = nil) {
        self.connectSeconds = connectSeconds
        self.stallSeconds = stallSeconds
        self.totalSeconds = totalSeconds
    }
}
