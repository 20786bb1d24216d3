internal import VDriveModel

/// The answer to a PROPFIND: RFC 4918's `multistatus`, read as loosely as servers write it.
enum WebDAVListing {
    /// The properties that vdrive asks for.
    static let request = Array(
        """
        <?xml version="1.0" encoding="utf-8"?>
        <D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/>\
        <D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>
        """.utf8
    )

    /// One `response` of the answer.
    struct Entry: Equatable {
        /// The path of the href, decoded, without a slash at the end; "" for the server's top.
        var path = ""
        var isFolder = false
        var length: Int?
        var quotaAvailable: UInt64?
        var quotaUsed: UInt64?
    }

    /// - Throws: `invalid` when the body is no multistatus.
    static func parse(_ body: [UInt8]) throws(StoreError) -> [Entry] {
        var scanner = XMLScanner(body)
        var reader = Reader()
        do throws(XMLScanner.Malformed) {
            while let token = try scanner.next() { reader.take(token) }
        } catch {
            throw StoreError(.invalid, "The server's listing is no XML (\(error.reason)); is the URL that of WebDAV?")
        }
        guard reader.isMultistatus else {
            throw StoreError(.invalid, "The server's listing is not a multistatus; check that the URL is WebDAV.")
        }
        return reader.entries
    }

    /// The direct children among the entries of a listing with depth 1.
    ///
    /// - Parameter folder: the decoded path that was asked for. A server behind a proxy may call it by another path;
    ///   then the shortest of the folders is taken for it.
    static func children(of entries: [Entry], folder: String) -> [StoreListing] {
        let isKnown = entries.contains { $0.path == folder }
        let shortest = entries.filter(\.isFolder).map(\.path).min { $0.utf8.count < $1.utf8.count }
        let prefix = (isKnown ? folder : shortest ?? folder) + "/"
        return entries.compactMap { entry in
            guard entry.path.hasPrefix(prefix) else { return nil }
            let name = String(entry.path.dropFirst(prefix.count))
            guard !name.isEmpty, !name.contains("/") else { return nil }
            return StoreListing(name: name, isFolder: entry.isFolder, length: entry.isFolder ? nil : entry.length)
        }
    }

    /// Follows the elements by their local names: prefixes and namespaces differ between servers, and no two of the
    /// elements that count here have the same local name.
    private struct Reader {
        var entries: [Entry] = []
        var isMultistatus = false
        private var open: [String] = []
        private var text = ""
        private var entry = Entry()
        /// Properties count only when their `propstat` says that they were found.
        private var found = Entry()
        private var propstatIsGood = true

        mutating func take(_ token: XMLScanner.Token) {
            switch token {
            case .start(let name):
                open.append(name)
                text = ""
                switch name {
                case "multistatus": isMultistatus = true
                case "response": entry = Entry()
                case "propstat":
                    found = Entry()
                    propstatIsGood = true
                case "collection": found.isFolder = true
                default: break
                }
            case .text(let more): text += more
            case .end(let name):
                open.removeLast()
                end(name)
                text = ""
            }
        }

        private mutating func end(_ name: String) {
            let value = text.trimmed()
            switch name {
            // An href inside a property, such as an owner's, is not the entry's own.
            case "href" where open.last == "response": entry.path = WebDAVListing.path(ofHref: value)
            case "getcontentlength": found.length = Int(value)
            case "quota-available-bytes": found.quotaAvailable = UInt64(value)
            case "quota-used-bytes": found.quotaUsed = UInt64(value)
            case "status" where open.last == "propstat":
                propstatIsGood = value.split(separator: " ").dropFirst().first?.hasPrefix("2") ?? false
            case "propstat" where propstatIsGood:
                entry.isFolder = entry.isFolder || found.isFolder
                entry.length = found.length ?? entry.length
                entry.quotaAvailable = found.quotaAvailable ?? entry.quotaAvailable
                entry.quotaUsed = found.quotaUsed ?? entry.quotaUsed
            case "response": entries.append(entry)
            default: break
            }
        }
    }

    /// The decoded path of an href, which is a whole URL or an absolute path.
    private static func path(ofHref href: String) -> String {
        var path = href[...]
        if let scheme = path.firstRange(of: "://") {
            let rest = path[scheme.upperBound...]
            path = rest.firstIndex(of: "/").map { rest[$0...] } ?? ""
        }
        // Some servers forget to encode a percent sign: then the path means itself.
        var decoded = percentDecoded(path) ?? String(path)
        while decoded.last == "/" { decoded.removeLast() }
        return decoded
    }
}

extension String {
    fileprivate func trimmed() -> String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}
