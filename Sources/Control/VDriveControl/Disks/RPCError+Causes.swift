package import VDriveEngine
package import VDriveModel
package import VDriveProtocol
package import VDriveStore

// The one place where the errors of lower floors become codes of the protocol. The messages are sentences for users
// already; what is added here is which disk it was about.

extension RPCError {
    package init(_ error: DiskError) {
        self.init(Self.code(error.kind), error.message)
    }

    package init(_ error: StoreError) {
        self.init(Self.code(error.kind), error.message)
    }

    package init(_ error: GeometryError) {
        self.init(.invalidParams, error.description)
    }

    private static func code(_ kind: DiskError.Kind) -> ErrorCode {
        switch kind {
        case .retry: .retry
        case .configuration: .fixConfiguration
        case .fenced: .fenced
        case .diverged: .diverged
        case .corrupt: .corrupt
        case .outOfSpace: .outOfSpace
        case .exists: .exists
        case .notFound: .notFound
        case .refused: .refused
        case .busy: .busy
        case .internal: .internal
        }
    }

    private static func code(_ kind: StoreError.Kind) -> ErrorCode {
        switch kind {
        case .notFound: .notFound
        case .unauthorized, .forbidden, .unsupported: .fixConfiguration
        case .full: .outOfSpace
        case .unavailable, .uncertain: .retry
        case .corrupt: .corrupt
        case .invalid: .invalidParams
        }
    }
}
