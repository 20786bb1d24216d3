import Glibc

/// The number by which the kernel says why a call failed.
///
/// The names are those of swift-system where it has one; `description` carries the text of `strerror` and the number.
package struct Errno: Error, RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: CInt

    package init(rawValue: CInt) { self.rawValue = rawValue }

    /// The calling thread's `errno`; read it directly after the call that failed.
    package static var current: Errno { Errno(rawValue: errno) }

    package static let notPermitted = Errno(rawValue: EPERM)
    package static let noSuchFileOrDirectory = Errno(rawValue: ENOENT)
    package static let noSuchProcess = Errno(rawValue: ESRCH)
    package static let interrupted = Errno(rawValue: EINTR)
    package static let ioError = Errno(rawValue: EIO)
    package static let noSuchAddressOrDevice = Errno(rawValue: ENXIO)
    package static let argListTooLong = Errno(rawValue: E2BIG)
    package static let badFileDescriptor = Errno(rawValue: EBADF)
    package static let wouldBlock = Errno(rawValue: EAGAIN)
    package static let noMemory = Errno(rawValue: ENOMEM)
    package static let permissionDenied = Errno(rawValue: EACCES)
    package static let badAddress = Errno(rawValue: EFAULT)
    package static let resourceBusy = Errno(rawValue: EBUSY)
    package static let fileExists = Errno(rawValue: EEXIST)
    package static let improperLink = Errno(rawValue: EXDEV)
    package static let noDevice = Errno(rawValue: ENODEV)
    package static let notDirectory = Errno(rawValue: ENOTDIR)
    package static let isDirectory = Errno(rawValue: EISDIR)
    package static let invalidArgument = Errno(rawValue: EINVAL)
    package static let tooManyOpenFilesInSystem = Errno(rawValue: ENFILE)
    package static let tooManyOpenFiles = Errno(rawValue: EMFILE)
    package static let inappropriateIOCTLForDevice = Errno(rawValue: ENOTTY)
    package static let textFileBusy = Errno(rawValue: ETXTBSY)
    package static let fileTooLarge = Errno(rawValue: EFBIG)
    package static let noSpace = Errno(rawValue: ENOSPC)
    package static let readOnlyFileSystem = Errno(rawValue: EROFS)
    package static let tooManySymbolicLinks = Errno(rawValue: ELOOP)
    package static let nameTooLong = Errno(rawValue: ENAMETOOLONG)
    package static let noFunction = Errno(rawValue: ENOSYS)
    package static let directoryNotEmpty = Errno(rawValue: ENOTEMPTY)
    package static let noData = Errno(rawValue: ENODATA)
    package static let overflow = Errno(rawValue: EOVERFLOW)
    package static let notSupported = Errno(rawValue: EOPNOTSUPP)
    package static let notConnected = Errno(rawValue: ENOTCONN)
    package static let timedOut = Errno(rawValue: ETIMEDOUT)
    package static let stale = Errno(rawValue: ESTALE)
    package static let diskQuotaExceeded = Errno(rawValue: EDQUOT)
    package static let canceled = Errno(rawValue: ECANCELED)

    /// For example "No space left on device (28)".
    package var description: String { "\(text) (\(rawValue))" }

    /// The text of `strerror`, for example "No space left on device".
    package var text: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            buffer.initialize(repeating: 0)
            // The POSIX form: it fills the buffer; strerror's own buffer is shared between threads.
            _ = strerror_r(rawValue, buffer.baseAddress!, buffer.count - 1)
            return String(cString: buffer.baseAddress!)
        }
    }
}

/// Makes a call of libc that answers -1 and `errno`, and makes it again while a signal interrupts it.
///
/// EBADF and EFAULT can only be our own bug, so they trap.
@discardableResult
func systemCall<Answer: FixedWidthInteger & SignedInteger>(_ call: () -> Answer) throws(Errno) -> Answer {
    while true {
        let answer = call()
        guard answer == -1 else { return answer }
        let error = Errno.current
        if error == .interrupted { continue }
        throw trapped(error)
    }
}

/// As `systemCall`, for the functions of CLinux, which answer a negative errno.
@discardableResult
func shimCall<Answer: FixedWidthInteger & SignedInteger>(_ call: () -> Answer) throws(Errno) -> Answer {
    while true {
        let answer = call()
        guard answer < 0 else { return answer }
        let error = Errno(rawValue: CInt(-answer))
        if error == .interrupted { continue }
        throw trapped(error)
    }
}

private func trapped(_ error: Errno) -> Errno {
    precondition(error != .badFileDescriptor && error != .badAddress, "a call was given a wrong argument: \(error)")
    return error
}
