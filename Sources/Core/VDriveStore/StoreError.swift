/// Why a store did not do what was asked. Whether a retry can help is decided by the driver, which saw the answer.
///
/// The text is one sentence for the user: the cause and what to do. It never holds a secret, nor a URL with one.
package struct StoreError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// There is no such object.
        case notFound
        /// 401, or a wrong key: fix the credentials.
        case unauthorized
        /// 403, or EACCES: fix the permissions.
        case forbidden
        /// 507, 413, ENOSPC, quota: make room.
        case full
        /// The server cannot do this at all.
        case unsupported
        /// No connection, a time-out, 5xx, 423, 429: wait and try again.
        case unavailable
        /// The answer to a claim was lost.
        case uncertain
        /// What came back is not what the server announced, or not what was stored.
        case corrupt
        /// A wrong URL, or an answer that no server of this kind should give.
        case invalid
    }

    package var kind: Kind
    package var message: String
    /// Seconds to wait before a retry, where the server asked for it.
    package var retryAfterSeconds: Double?

    package init(_ kind: Kind, _ message: String, retryAfterSeconds: Double? = nil) {
        self.kind = kind
        self.message = message
        self.retryAfterSeconds = retryAfterSeconds
    }

    /// Whether the same call may succeed later without anybody's doing.
    package var isTransient: Bool {
        switch kind {
        case .unavailable, .corrupt: true
        // Somebody may free space or mend the account while the daemon runs: uploads go on trying.
        case .full, .unauthorized, .forbidden: false
        case .notFound, .unsupported, .uncertain, .invalid: false
        }
    }

    package var description: String { message }
}
