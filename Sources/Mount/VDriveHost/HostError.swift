package import Linux

/// Why the host did not do what was asked: one sentence for the user, with the cause and what to do.
package struct HostError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        /// Somebody uses what should go, or the place is taken.
        case busy
        /// There is something on the device that formatting would destroy.
        case notEmpty(BlockProbe.Content)
        /// A program, a device or a right is missing on this machine.
        case missing
        /// It cannot be done with these sizes or names.
        case unsuitable
        /// A step went wrong and was undone.
        case failed
    }

    package let kind: Kind
    package let message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }
}

/// Runs one of the system's programs, which must succeed.
///
/// Whatever may touch the disk from above (mount, umount, mkfs, losetup) runs as a program and never as a call of the
/// daemon: a thread of the daemon that waits for the daemon's own FUSE threads in the kernel cannot be killed, keeps
/// `/dev/fuse` open, and so would make a killed daemon hang for ever. A child has no `/dev/fuse`: it gets an I/O error.
func runTool(_ arguments: [String], timeoutSeconds: Int) throws(HostError) -> String {
    let result: SubprocessResult
    do {
        result = try Subprocess.runBlocking(arguments, timeoutSeconds: timeoutSeconds)
    } catch {
        switch error {
        case .notFound(let program):
            throw HostError(.missing, "The program \(program) is missing; install \(HostCheck.package(of: program)).")
        default:
            throw HostError(.failed, "\(error)")
        }
    }
    guard result.isSuccess else {
        throw HostError(.failed, "\(arguments.joined(separator: " ")): \(result.lastLine)")
    }
    return result.output
}
