package import Curl
package import VDriveModel

/// A folder on a WebDAV server.
///
/// Notes on the design (what servers really answer was measured; the sentences below name the odd ones)
///
/// - Folders are made before the first object goes into them, deepest first, and remembered: a PUT into a missing
///   folder would carry its whole body in vain (409, or 500 from nginx). When somebody removes one, the PUT's answer
///   shows it; the folder is made anew and the PUT repeated once.
/// - A ranged GET must come back as 206 with the very range. A server that ignores ranges sends 200 and the whole
///   object; the range is cut out of it. One that sends 200 with a Content-Range means it.
/// - No PUT carries a Content-Range: Apache would write a part of the object, others replace the whole.
/// - An answer that is lost leaves a claim open (`uncertain`), unless the object itself tells who made it.
package final class WebDAVStore: ObjectStore {
    private static let bodyBytesMax = 256 << 20

    let loop: TransferLoop
    /// `https://host:port`
    let origin: String
    /// The path of the store's top folder, percent-encoded, without a slash at the end; "" for the server's top.
    private let basePath: String
    let folders = KnownFolders()
    private let credentials: HTTPCredentials?
    private let caFile: String?
    package let location: String

    /// - Parameter loop: may be shared; nothing is sent yet.
    /// - Throws: `invalid` when the URL is not of a WebDAV server.
    package init(url: StoreURL, credentials: StoreCredentials?, loop: TransferLoop) throws(StoreError) {
        let scheme: String
        switch url.scheme {
        case .webdav: scheme = "http"
        case .webdavs: scheme = "https"
        case .file: throw StoreError(.invalid, "\(url.redacted) is not the URL of a WebDAV server.")
        }
        let port = url.port.map { ":\($0)" } ?? ""
        origin = "\(scheme)://\(url.host)\(port)"
        basePath = url.path == "/" ? "" : percentEncoded(path: url.path)
        location = url.redacted
        caFile = credentials?.caFile
        self.credentials = credentials.flatMap { given in
            given.username.isEmpty ? nil : HTTPCredentials(user: given.username, password: given.password)
        }
        self.loop = loop
    }

    /// MKCOL is atomic on Apache and nginx; rclone answers 201 to everybody, but honours `Overwrite: F`.
    package var claimPrimitives: [ClaimPrimitive] { [.makeCollection, .moveNoOverwrite, .conditionalPut] }

    package func get(_ name: ObjectName, range: Range<Int>?) async throws(StoreError) -> [UInt8] {
        var headers: [(name: String, value: String)] = []
        if let range { headers.append(("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")) }
        let response = try await send("GET", url(of: name.path), headers: headers)
        switch response.status {
        case 200, 206: return try objectBytes(of: response, name: name, range: range)
        case 404, 410: throw .notFound(name)
        case 416:
            throw StoreError(.corrupt, "The object \(name) is shorter than the range that was asked for.")
        default: throw failure(response, "GET", name.path)
        }
    }

    package func put(_ name: ObjectName, _ body: [UInt8]) async throws(StoreError) {
        let response = try await makingFolders(for: name) { () async throws(StoreError) in
            try await send("PUT", url(of: name.path), headers: [objectType], body: body)
        }
        guard isWritten(response) else { throw failure(response, "PUT", name.path) }
    }

    package func length(of name: ObjectName) async throws(StoreError) -> Int? {
        let response = try await send("HEAD", url(of: name.path))
        switch response.status {
        case 200, 204:
            if let length = response.header("Content-Length").flatMap({ Int($0) }) { return length }
            // Some proxies drop the length of an answer without a body.
            return try await properties(of: name.path, depth: 0).first { !$0.isFolder }?.length
        case 404, 410: return nil
        default: throw failure(response, "HEAD", name.path)
        }
    }

    package func delete(_ name: ObjectName) async throws(StoreError) {
        var response = try await send("DELETE", url(of: name.path))
        // nginx deletes a folder only under its name with a slash.
        if response.status == 409 { response = try await send("DELETE", url(of: name.path) + "/") }
        folders.forget(pathOfURL(of: name.path))
        switch response.status {
        case 200, 202, 204, 404, 410: return
        default: throw failure(response, "DELETE", name.path)
        }
    }

    package func list(_ folder: String) async throws(StoreError) -> [StoreListing] {
        let entries = try await properties(of: folder, depth: 1)
        return WebDAVListing.children(of: entries, folder: percentDecoded(pathOfURL(of: folder)) ?? "")
    }

    package func quota() async throws(StoreError) -> StoreQuota? {
        do throws(StoreError) {
            let entry = try await properties(of: "", depth: 0).first
            guard let entry, entry.quotaAvailable != nil || entry.quotaUsed != nil else { return nil }
            return StoreQuota(availableBytes: entry.quotaAvailable, usedBytes: entry.quotaUsed)
        } catch {
            if error.kind == .unsupported { return nil }
            throw error
        }
    }

    // MARK: requests

    let objectType = (name: "Content-Type", value: "application/octet-stream")

    func url(of path: String) -> String { origin + pathOfURL(of: path) }

    func pathOfURL(of path: String) -> String {
        path.isEmpty ? basePath : "\(basePath)/\(percentEncoded(path: path))"
    }

    /// - Throws: `unavailable` and so on when there is no answer at all.
    func send(
        _ method: String,
        _ url: String,
        headers: [(name: String, value: String)] = [],
        body: [UInt8]? = nil
    ) async throws(StoreError) -> HTTPResponse {
        let request = request(method, url, headers: headers, body: body)
        do throws(CurlError) {
            return try await loop.perform(request)
        } catch {
            throw StoreError(error, at: location)
        }
    }

    func request(
        _ method: String,
        _ url: String,
        headers: [(name: String, value: String)] = [],
        body: [UInt8]? = nil
    ) -> HTTPRequest {
        HTTPRequest(
            method,
            url,
            headers: headers,
            body: body,
            credentials: credentials,
            caFile: caFile,
            maximumBodyBytes: Self.bodyBytesMax
        )
    }

    func failure(_ response: HTTPResponse, _ method: String, _ path: String) -> StoreError {
        StoreError(response: response, method: method, path: path, at: location)
    }

    func isWritten(_ response: HTTPResponse) -> Bool { [200, 201, 204].contains(response.status) }

    /// - Returns: nothing for a folder that does not exist.
    private func properties(of path: String, depth: Int) async throws(StoreError) -> [WebDAVListing.Entry] {
        let isFolder = depth == 1 || path.isEmpty
        let response = try await send(
            "PROPFIND",
            url(of: path) + (isFolder ? "/" : ""),
            headers: [("Depth", "\(depth)"), ("Content-Type", "application/xml; charset=utf-8")],
            body: WebDAVListing.request
        )
        switch response.status {
        case 207: return try WebDAVListing.parse(response.body)
        case 404, 410: return []
        case 405, 501:
            throw StoreError(.unsupported, "\(location) cannot list folders (no PROPFIND); it works without.")
        default: throw failure(response, "PROPFIND", path)
        }
    }

    private func objectBytes(
        of response: HTTPResponse,
        name: ObjectName,
        range: Range<Int>?
    ) throws(StoreError) -> [UInt8] {
        let body = response.body
        if let announced = response.header("Content-Length").flatMap({ Int($0) }), announced != body.count {
            throw StoreError(.corrupt, "\(location) announced \(announced) bytes of \(name) and sent \(body.count).")
        }
        let sent = response.header("Content-Range").flatMap(ContentRange.init)
        guard let range else {
            guard response.status == 200, response.header("Content-Range") == nil else {
                throw StoreError(.corrupt, "\(location) sent a part of \(name) instead of the whole.")
            }
            return body
        }
        if let sent, sent.bytes == range, body.count == range.count { return body }
        guard response.status == 200, response.header("Content-Range") == nil else {
            throw StoreError(.corrupt, "\(location) sent another part of \(name) than the one that was asked for.")
        }
        guard range.upperBound <= body.count else { throw .tooShort(name, length: body.count, range: range) }
        return Array(body[range])
    }
}
