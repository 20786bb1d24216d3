internal import Curl
package import VDriveModel

extension WebDAVStore {
    package func claim(_ name: ObjectName, with primitive: ClaimPrimitive) async throws(StoreError) -> Bool {
        switch primitive {
        case .makeCollection: try await claimByCollection(name)
        case .moveNoOverwrite: try await claimByMove(name)
        case .conditionalPut: try await claimByPut(name)
        case .makeFolder: throw .unknownPrimitive(primitive, at: location)
        }
    }

    private func claimByCollection(_ name: ObjectName) async throws(StoreError) -> Bool {
        let answer = try await makingFolders(for: name) { () async throws(StoreError) in
            try await sendOnce("MKCOL", url(of: name.path) + "/")
        }
        switch answer.status {
        case 201:
            folders.insert(pathOfURL(of: name.path))
            return true
        case 301, 302, 405: return false
        default: throw claimFailure(answer, "MKCOL", name)
        }
    }

    /// A fresh object that carries a token is moved to the name. It lies in the same folder, since a move across
    /// folders is a copy on some servers.
    private func claimByMove(_ name: ObjectName) async throws(StoreError) -> Bool {
        let token = freshToken()
        let source = ObjectName((name.folder.map { $0 + "/" } ?? "") + "claim-" + token)
        try await put(source, Array(token.utf8))
        let result: Result<Bool, StoreError>
        do throws(StoreError) {
            // Apache takes no bare path as the destination, nginx no other host.
            let headers = [("Destination", url(of: name.path)), ("Overwrite", "F")]
            let answer = try await sendOnce("MOVE", url(of: source.path), headers: headers)
            switch answer.status {
            case 201, 204: result = .success(true)
            case 412: result = .success(false)
            default: throw claimFailure(answer, "MOVE", name)
            }
        } catch {
            result = .failure(error)
        }
        if case .success(true) = result { return true }
        // Without its source a move that is still on its way cannot happen any more.
        try? await delete(source)
        return try await settled(result, name, token: token)
    }

    private func claimByPut(_ name: ObjectName) async throws(StoreError) -> Bool {
        let token = freshToken()
        let result: Result<Bool, StoreError>
        do throws(StoreError) {
            let answer = try await makingFolders(for: name) { () async throws(StoreError) in
                let headers = [objectType, ("If-None-Match", "*")]
                return try await sendOnce("PUT", url(of: name.path), headers: headers, body: Array(token.utf8))
            }
            switch answer.status {
            case 200, 201, 204: result = .success(true)
            case 412: result = .success(false)
            default: throw claimFailure(answer, "PUT", name)
            }
        } catch {
            result = .failure(error)
        }
        return try await settled(result, name, token: token)
    }

    /// Where the answer was lost, the object's token may tell who won.
    private func settled(
        _ result: Result<Bool, StoreError>,
        _ name: ObjectName,
        token: String
    ) async throws(StoreError) -> Bool {
        guard case .failure(let error) = result, error.kind == .uncertain else { return try result.get() }
        guard let winner = try? await get(name, range: nil), winner.count == token.utf8.count else { throw error }
        return winner == Array(token.utf8)
    }

    /// Sends a request that must not be repeated by anybody.
    private func sendOnce(
        _ method: String,
        _ url: String,
        headers: [(name: String, value: String)] = [],
        body: [UInt8]? = nil
    ) async throws(StoreError) -> HTTPResponse {
        var request = request(method, url, headers: headers, body: body)
        request.neverSendTwice = true
        do throws(CurlError) {
            return try await loop.perform(request)
        } catch {
            let failure = StoreError(error, at: location)
            guard error.mayHaveArrived else { throw failure }
            throw StoreError(.uncertain, "The answer to a claim was lost, so it may have been won. \(failure.message)")
        }
    }

    /// 500, 502 and 504 come from servers that may have done it all the same.
    private func claimFailure(_ response: HTTPResponse, _ method: String, _ name: ObjectName) -> StoreError {
        let failure = failure(response, method, name.path)
        guard [500, 502, 504].contains(response.status) else { return failure }
        return StoreError(.uncertain, "It is not known whether a claim was won. \(failure.message)")
    }

    private func freshToken() -> String {
        var generator = SystemRandomNumberGenerator()
        return hexadecimal(generator.next(), digits: 16) + hexadecimal(generator.next(), digits: 16)
    }
}
