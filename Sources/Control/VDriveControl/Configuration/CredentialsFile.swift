import Glibc
import Linux
package import VDriveProtocol
package import VDriveStore

/// What a credentials file says: TOML, mode 0600, owned by root or the daemon's user. Its descriptions show no value.
package struct CredentialsFile: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    private static let keys: Set = [
        "username", "password", "access-key", "secret-key", "session-token", "ca-file",
    ]

    package var username: String?
    package var password: String?
    package var accessKey: String?
    package var secretKey: String?
    package var sessionToken: String?
    /// PEM certificates to trust instead of the system's.
    package var caFile: String?

    /// Reads the file, when nobody but its owner can.
    ///
    /// - Parameter daemonUser: who may own the file, besides root.
    /// - Throws: `fixConfiguration` with the cause; never with a value of the file.
    package init(path: String, daemonUser: UInt32) throws(RPCError) {
        guard path.hasPrefix("/") else {
            throw RPCError(.fixConfiguration, "The path of the credentials file, \(path), must be absolute.")
        }
        let text = try Self.readPrivately(path, daemonUser: daemonUser)
        try self.init(text: text, path: path)
    }

    /// Reads the text of such a file.
    init(text: String, path: String) throws(RPCError) {
        let table = try StrictTable(text: text, path: path, keys: Self.keys, isSecret: true)
        username = try table.string("username")
        password = try table.string("password")
        accessKey = try table.string("access-key")
        secretKey = try table.string("secret-key")
        sessionToken = try table.string("session-token")
        caFile = try table.string("ca-file")
        guard (username == nil) == (password == nil) else {
            throw RPCError(.fixConfiguration, "\(path): username and password go together; give both or neither.")
        }
        guard (accessKey == nil) == (secretKey == nil), sessionToken == nil || accessKey != nil else {
            throw RPCError(.fixConfiguration, "\(path): access-key and secret-key go together; give both or neither.")
        }
        if let caFile, !caFile.hasPrefix("/") {
            throw RPCError(.fixConfiguration, "\(path): ca-file must be an absolute path.")
        }
    }

    /// What a store needs to see.
    ///
    /// - Throws: `fixConfiguration` when the file holds keys of another kind of remote.
    package func credentials(for url: StoreURL) throws(RPCError) -> StoreCredentials? {
        guard accessKey == nil else {
            throw RPCError(
                .fixConfiguration,
                "The credentials hold an access key, which \(url.scheme.rawValue):// does not use; "
                    + "give username and password."
            )
        }
        guard username != nil || caFile != nil else { return nil }
        return StoreCredentials(username: username ?? "", password: password ?? "", caFile: caFile)
    }

    package var description: String { "credentials (hidden)" }
    package var debugDescription: String { description }

    /// Checks the very file that is read: between a look at a path and its opening, somebody could change it.
    private static func readPrivately(_ path: String, daemonUser: UInt32) throws(RPCError) -> String {
        let bytes: [UInt8]
        let status: FileStatus
        do throws(Errno) {
            let file = try OpenFile.open(path, flags: O_RDONLY | O_NONBLOCK)
            status = try file.status()
            let count = min(status.bytes, UInt64(StrictTable.bytesMax))
            bytes = status.kind == .file ? try file.preadAll(count: Int(count), at: 0) : []
        } catch {
            throw RPCError(.fixConfiguration, "The credentials file \(path) cannot be read: \(error).")
        }
        guard status.kind == .file else {
            throw RPCError(.fixConfiguration, "The credentials file \(path) is not a plain file.")
        }
        guard status.mode & 0o177 == 0 else {
            throw RPCError(
                .fixConfiguration,
                "The credentials file \(path) can be read by others than its owner; run chmod 600 \(path)."
            )
        }
        guard status.owner == 0 || status.owner == daemonUser else {
            throw RPCError(
                .fixConfiguration,
                "The credentials file \(path) belongs to somebody else; run chown root \(path)."
            )
        }
        guard status.bytes <= StrictTable.bytesMax, let text = String(validating: bytes, as: UTF8.self) else {
            throw RPCError(.fixConfiguration, "The credentials file \(path) is no short UTF-8 text.")
        }
        return text
    }
}
