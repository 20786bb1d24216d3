import Glibc
import Linux
package import VDriveProtocol

/// Where the daemon keeps what: the one place that knows the folders.
///
///     STATE/lock              held by the daemon that owns STATE
///     STATE/disks.d/NAME.toml one disk's configuration
///     STATE/disks/NAME/       one disk's metadata
///     STATE/cache/NAME/       one disk's cache, where no other place was asked for
///     RUN/NAME/               one disk's FUSE mount
package struct StateLayout: Sendable {
    package let stateDirectory: String
    package let runDirectory: String

    /// - Parameter stateDirectory: absolute, as is `runDirectory`.
    /// - Throws: `invalidParams`.
    package init(stateDirectory: String, runDirectory: String) throws(RPCError) {
        for path in [stateDirectory, runDirectory] where !path.hasPrefix("/") {
            throw RPCError(.invalidParams, "\(path) must be an absolute path.")
        }
        self.stateDirectory = stateDirectory
        self.runDirectory = runDirectory
    }

    package var configurationDirectory: String { "\(stateDirectory)/disks.d" }

    package func configurationFile(of name: DiskName) -> String { "\(configurationDirectory)/\(name).toml" }
    package func metadataDirectory(of name: DiskName) -> String { "\(stateDirectory)/disks/\(name)" }
    package func standardCacheDirectory(of name: DiskName) -> String { "\(stateDirectory)/cache/\(name)" }
    package func fuseDirectory(of name: DiskName) -> String { "\(runDirectory)/\(name)" }

    /// Makes the folders and takes the lock.
    ///
    /// - Returns: the lock; it is held for as long as the value lives.
    /// - Throws: `exists` when another daemon holds it, `fixConfiguration` when the folders cannot be made.
    package func claim() throws(RPCError) -> OpenFileLock {
        do throws(Errno) {
            for path in ["\(stateDirectory)/disks", "\(stateDirectory)/cache", configurationDirectory] {
                try Directory.createAll(path)
            }
            try Directory.createAll(runDirectory, mode: 0o755)
        } catch {
            throw RPCError(
                .fixConfiguration,
                "The folders \(stateDirectory) and \(runDirectory) cannot be made: \(error); "
                    + "run vdrived as root, or name others with --state-dir and --run-dir."
            )
        }
        return try OpenFileLock(path: "\(stateDirectory)/lock")
    }
}

/// A lock file that keeps two daemons from one state directory. The kernel lets go of it when the process ends, however
/// that comes about.
package struct OpenFileLock: ~Copyable, Sendable {
    private let file: OpenFile

    init(path: String) throws(RPCError) {
        file = try Self.lock(path)
    }

    private static func lock(_ path: String) throws(RPCError) -> OpenFile {
        let file: OpenFile
        let isLocked: Bool
        do throws(Errno) {
            file = try OpenFile.open(path, flags: O_RDWR | O_CREAT)
            isLocked = try file.tryLock()
        } catch {
            throw RPCError(.fixConfiguration, "The lock file \(path) cannot be used: \(error).")
        }
        guard isLocked else {
            throw RPCError(
                .exists,
                "Another vdrived uses the state behind \(path); stop it, or use another --state-dir."
            )
        }
        return file
    }
}
