package import VDriveProtocol

/// Where a disk's credentials lie: a reference, which a disk's file and a command line may hold. Never a secret.
package enum CredentialsSource: Equatable, Sendable, CustomStringConvertible {
    /// The absolute path of a file that only its owner can read.
    case file(String)
    /// `credential:NAME`: a credential that systemd passes to the daemon (`LoadCredential=NAME:FILE`).
    case systemd(String)
    /// `env:NAME`: an environment variable of the daemon that holds the text of such a file.
    case environment(String)

    private static let systemdPrefix = "credential:"
    private static let environmentPrefix = "env:"
    private static let nameBytesMax = 255

    /// Reads a reference.
    ///
    /// - Returns: nil for `none`: the remote asks for no credentials.
    /// - Throws: `fixConfiguration` for a name that leads elsewhere, or a path that is not absolute.
    package init?(_ text: String) throws(RPCError) {
        if text == "none" { return nil }
        if text.hasPrefix(Self.systemdPrefix) {
            let name = String(text.dropFirst(Self.systemdPrefix.count))
            // It becomes a file's name, and must not lead out of its folder.
            guard Self.isPlain(name, beside: "._-@"), !name.hasPrefix(".") else {
                throw RPCError(
                    .fixConfiguration,
                    "\(text) names no credential; give credential: and the name that LoadCredential= has in the unit: "
                        + "letters, digits, and . _ - @ behind the first one."
                )
            }
            self = .systemd(name)
        } else if text.hasPrefix(Self.environmentPrefix) {
            let name = String(text.dropFirst(Self.environmentPrefix.count))
            guard Self.isPlain(name, beside: "_"), name.utf8.first.map({ $0 > 0x39 }) == true else {
                throw RPCError(
                    .fixConfiguration,
                    "\(text) names no environment variable; give env: and a name of letters, digits and _."
                )
            }
            self = .environment(name)
        } else {
            guard text.hasPrefix("/") else {
                throw RPCError(
                    .fixConfiguration,
                    "The path of the credentials file, \(text), must be absolute; or give credential:NAME, env:NAME "
                        + "or none."
                )
            }
            self = .file(text)
        }
    }

    private static func isPlain(_ name: String, beside others: String) -> Bool {
        guard (1...nameBytesMax).contains(name.utf8.count) else { return false }
        return name.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9": true
            default: others.unicodeScalars.contains(scalar)
            }
        }
    }

    /// The reference, as it is read.
    package var description: String {
        switch self {
        case .file(let path): path
        case .systemd(let name): Self.systemdPrefix + name
        case .environment(let name): Self.environmentPrefix + name
        }
    }
}
