import Glibc
import Linux
package import VDriveProtocol
package import VDriveStore

/// What a disk's remote wants to see: TOML, from where a `CredentialsSource` says. Its descriptions show no value.
package struct Credentials: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
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

    /// Reads them, when nobody but those who may can do so.
    ///
    /// - Parameters:
    ///   - daemonUser: who may own a file, besides root.
    ///   - variable: the environment.
    /// - Throws: `fixConfiguration` with the cause; never with a value.
    package init(
        from source: CredentialsSource,
        daemonUser: UInt32,
        variable: (String) -> String? = environmentVariable
    ) throws(RPCError) {
        switch source {
        case .file(let path):
            try self.init(text: try PrivateFile.ofUser(path).read(daemonUser: daemonUser), path: path)
        case .systemd(let name):
            guard let folder = variable("CREDENTIALS_DIRECTORY"), folder.hasPrefix("/") else {
                throw RPCError(
                    .fixConfiguration,
                    "systemd passed no credentials to the daemon, and \(source) is one; add LoadCredential="
                        + "\(name):FILE to vdrived.service, run systemctl daemon-reload, and restart vdrived."
                )
            }
            let file = PrivateFile.ofSystemd("\(folder)/\(name)", name: name)
            try self.init(text: try file.read(daemonUser: daemonUser), path: "\(source)")
        case .environment(let name):
            guard let text = variable(name) else {
                throw RPCError(
                    .fixConfiguration,
                    "The daemon has no environment variable \(name), or it is empty; set it to the text of a "
                        + "credentials file, and restart vdrived."
                )
            }
            guard text.utf8.count <= StrictTable.bytesMax else {
                throw RPCError(.fixConfiguration, "\(source) is too long; give the text of a credentials file.")
            }
            try self.init(text: text, path: "\(source)")
        }
    }

    /// - Parameter path: for the errors.
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
}

/// A file with credentials in it, and how it is spoken of.
private struct PrivateFile {
    let path: String
    let subject: String
    /// Permissions that it must not have.
    let forbidden: mode_t
    /// What to do when it is missing, or not private.
    let advice: (missing: String, open: String)

    /// A file that a user wrote.
    static func ofUser(_ path: String) -> PrivateFile {
        PrivateFile(
            path: path,
            subject: "The credentials file \(path)",
            forbidden: 0o177,
            advice: ("write it, or name another one", "run chmod 600 \(path)")
        )
    }

    /// A file that systemd made for this service: mode 0400, or 0440 where an access list opens it to a service's user.
    static func ofSystemd(_ path: String, name: String) -> PrivateFile {
        PrivateFile(
            path: path,
            subject: "The credential \(name)",
            forbidden: 0o337,
            advice: (
                "add LoadCredential=\(name):FILE to vdrived.service, run systemctl daemon-reload, and restart vdrived",
                "let systemd make \(path), with mode 0400"
            )
        )
    }

    /// Checks the very file that is read: between a look at a path and its opening, somebody could change it.
    func read(daemonUser: UInt32) throws(RPCError) -> String {
        let bytes: [UInt8]
        let status: FileStatus
        do throws(Errno) {
            let file = try OpenFile.open(path, flags: O_RDONLY | O_NONBLOCK)
            status = try file.status()
            let count = min(status.bytes, UInt64(StrictTable.bytesMax))
            bytes = status.kind == .file ? try file.preadAll(count: Int(count), at: 0) : []
        } catch {
            let advice = error == .noSuchFileOrDirectory ? "; \(advice.missing)" : ""
            throw RPCError(.fixConfiguration, "\(subject) cannot be read: \(error)\(advice).")
        }
        guard status.kind == .file else {
            throw RPCError(.fixConfiguration, "\(subject) is not a plain file.")
        }
        guard status.mode & forbidden == 0 else {
            throw RPCError(
                .fixConfiguration,
                "\(subject) can be read by others than its owner; \(advice.open)."
            )
        }
        guard status.owner == 0 || status.owner == daemonUser else {
            throw RPCError(.fixConfiguration, "\(subject) belongs to somebody else; run chown root \(path).")
        }
        guard status.bytes <= StrictTable.bytesMax, let text = String(validating: bytes, as: UTF8.self) else {
            throw RPCError(.fixConfiguration, "\(subject) is no short UTF-8 text.")
        }
        return text
    }
}
