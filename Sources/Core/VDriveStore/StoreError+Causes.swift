internal import Glibc
internal import VDriveModel

// The sentences that more than one driver needs.
extension StoreError {
    static func notFound(_ name: ObjectName) -> StoreError {
        StoreError(.notFound, "There is no object \(name) at the remote.")
    }

    static func tooShort(_ name: ObjectName, length: Int, range: Range<Int>) -> StoreError {
        StoreError(
            .corrupt,
            "The object \(name) has \(length) bytes; "
                + "the bytes \(range.lowerBound) to \(range.upperBound - 1) were asked for."
        )
    }

    static func unknownPrimitive(_ primitive: ClaimPrimitive, at location: String) -> StoreError {
        StoreError(.unsupported, "\(location) does not know \(primitive.rawValue) as a way to claim a name.")
    }

    static func cancelled(at location: String) -> StoreError {
        StoreError(.unavailable, "The request to \(location) was cancelled.")
    }

    /// From a failed system call.
    init(errno code: Int32, at path: String) {
        let reason = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT, EFBIG:
            self.init(.full, "No room for \(path) (\(reason)); free some space, or choose another remote.")
        case EACCES, EPERM, EROFS:
            self.init(.forbidden, "No permission for \(path) (\(reason)); let the daemon's user write there.")
        case ENOENT:
            self.init(.notFound, "There is no \(path).")
        case ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP, ENOTEMPTY, EEXIST:
            self.init(.invalid, "\(path) cannot be used (\(reason)); choose a folder that is the remote's alone.")
        default:
            self.init(.unavailable, "\(path) does not work (\(reason)); check the disk or the share that it is on.")
        }
    }
}
