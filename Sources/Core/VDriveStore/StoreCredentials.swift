/// What a remote wants to see before it lets anybody in. Its descriptions never show the password.
package struct StoreCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
    /// "" for a server that asks for nobody's name.
    package var username: String
    package var password: String
    /// PEM certificates to trust instead of the system's; nil for the system's.
    package var caFile: String?

    package init(username: String, password: String, caFile: String? = nil) {
        self.username = username
        self.password = password
        self.caFile = caFile
    }

    package var description: String { "user \(username), password (hidden)\(caFile.map { ", CA file \($0)" } ?? "")" }
    package var debugDescription: String { description }
}
