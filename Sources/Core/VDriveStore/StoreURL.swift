/// The address of a remote: `file:///path`, `webdav://host:port/path` or `webdavs://host:port/path`.
///
/// It never holds a user or a password: those come as `StoreCredentials`, so that no log can show them.
package struct StoreURL: Hashable, Sendable, CustomStringConvertible {
    package enum Scheme: String, Sendable, CaseIterable {
        case file
        /// WebDAV over http.
        case webdav
        /// WebDAV over https.
        case webdavs
    }

    package let scheme: Scheme
    /// The host as it is written in a URL (an IPv6 address in brackets), or "" for `file`.
    package let host: String
    package let port: UInt16?
    /// Absolute, percent-decoded, without a slash at the end; "/" for the top.
    package let path: String

    /// Reads the text of a URL.
    ///
    /// - Throws: `invalid`, with a sentence that says what is wrong and never repeats a password.
    package init(_ text: String) throws(StoreError) {
        guard let colon = text.firstRange(of: "://") else {
            throw StoreError(
                .invalid,
                text.hasPrefix("/")
                    ? "A remote is a URL; write file://\(text) for a folder on this machine."
                    : "A remote is a URL such as webdavs://host/path or file:///path."
            )
        }
        let word = String(text[..<colon.lowerBound]).lowercased()
        guard let scheme = Scheme(rawValue: word) else { throw Self.unknownScheme(word) }
        let rest = text[colon.upperBound...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        guard !authority.contains("@") else {
            throw StoreError(
                .invalid,
                "A remote URL holds no user or password, because URLs end up in logs; give them as credentials."
            )
        }
        self.scheme = scheme
        switch scheme {
        case .file: (host, port) = try Self.fileAuthority(authority, isWholeURL: slash == rest.endIndex)
        case .webdav, .webdavs: (host, port) = try Self.networkAuthority(authority, scheme: scheme)
        }
        path = try Self.normalPath(rest[slash...])
    }

    /// The URL in its normal form; safe to log.
    package var redacted: String {
        "\(scheme.rawValue)://\(host)\(port.map { ":\($0)" } ?? "")\(percentEncoded(path: path))"
    }

    package var description: String { redacted }

    /// The place beside this one: the path with another last component; nil at the top, where there is none.
    ///
    /// - Parameter name: a valid component, not encoded.
    package func sibling(_ name: String) -> StoreURL? {
        guard path != "/", let slash = path.lastIndex(of: "/") else { return nil }
        let place = percentEncoded(path: "\(path[..<slash])/\(name)")
        return try? StoreURL("\(scheme.rawValue)://\(host)\(port.map { ":\($0)" } ?? "")\(place)")
    }

    private static func unknownScheme(_ word: String) -> StoreError {
        switch word {
        case "s3", "ftp", "ftps", "sftp":
            StoreError(.invalid, "\(word):// remotes are not supported yet; use webdav://, webdavs:// or file://.")
        case "http", "https":
            StoreError(.invalid, "Write \(word == "http" ? "webdav" : "webdavs"):// instead of \(word)://.")
        default:
            StoreError(.invalid, "There is no kind of remote of that name; use webdav://, webdavs:// or file://.")
        }
    }

    private static func fileAuthority(
        _ authority: Substring,
        isWholeURL: Bool
    ) throws(StoreError) -> (String, UInt16?) {
        guard !isWholeURL, authority.isEmpty || authority == "localhost" else {
            throw StoreError(.invalid, "The path of a file:// remote is absolute: file:///path with three slashes.")
        }
        return ("", nil)
    }

    private static func networkAuthority(
        _ authority: Substring,
        scheme: Scheme
    ) throws(StoreError) -> (String, UInt16?) {
        var host = authority
        var port: UInt16?
        // The colons of an IPv6 address lie inside its brackets.
        let searched = authority.lastIndex(of: "]").map { authority[$0...] } ?? authority
        if let colon = searched.lastIndex(of: ":") {
            host = authority[..<colon]
            let digits = authority[authority.index(after: colon)...]
            guard let number = UInt16(digits), number > 0, digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }) else {
                throw StoreError(.invalid, "The port of the remote is not a number from 1 to 65535.")
            }
            port = number
        }
        guard !host.isEmpty, host != "[]" else {
            throw StoreError(.invalid, "The remote has no host; write \(scheme.rawValue)://host/path.")
        }
        let isName = host.utf8.allSatisfy { isUnreserved($0) }
        let isAddress =
            host.hasPrefix("[") && host.hasSuffix("]")
            && host.dropFirst().dropLast().utf8.allSatisfy { isHexadecimal($0) || $0 == 0x3A || $0 == 0x2E }
        guard isName || isAddress else {
            throw StoreError(.invalid, "The host of the remote has a character that no host name can have.")
        }
        return (host.lowercased(), port)
    }

    private static func normalPath(_ text: Substring) throws(StoreError) -> String {
        guard !text.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw StoreError(.invalid, "A remote URL has no query or fragment; write ? as %3F and # as %23 in a path.")
        }
        guard let decoded = percentDecoded(text) else {
            throw StoreError(.invalid, "The path of the remote has a % without two hex digits; write %25 for %.")
        }
        let components = decoded.split(separator: "/")
        guard !components.contains(where: { $0 == "." || $0 == ".." }), !decoded.utf8.contains(0) else {
            throw StoreError(.invalid, "The path of the remote holds . or .. as a folder; write the path without them.")
        }
        return "/" + components.joined(separator: "/")
    }
}
