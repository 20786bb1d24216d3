package import VDriveStore

/// Why a disk could not do what was asked; the kind says what the user can do about it.
package struct DiskError: Error, Sendable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// It may work later by itself.
        case retry
        /// Something must be set right: an address, credentials, permissions.
        case configuration
        /// Another machine has taken the disk over.
        case fenced
        /// Another machine has committed while this one holds changes of its own.
        case diverged
        /// Bytes are not what they should be.
        case corrupt
        case outOfSpace
        case exists
        case notFound
        case refused
        case busy
        case `internal`
    }

    package var kind: Kind
    /// One sentence: the cause and what to do; never a secret.
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package init(_ error: StoreError) {
        let kind: Kind =
            switch error.kind {
            case .unavailable, .uncertain: .retry
            case .unauthorized, .forbidden, .unsupported, .invalid: .configuration
            case .full: .outOfSpace
            case .notFound: .notFound
            case .corrupt: .corrupt
            }
        self.init(kind, error.message)
    }

    package var description: String { message }
}
