import Curl
import Foundation
import Testing
import VDriveStore
import VDriveTestKit

@Suite("curl's loop", .timeLimit(.minutes(1)))
struct TransferLoopTests {
    private let credentials = HTTPCredentials(user: "user", password: "password")

    @Test("asks for the scheme once, and then authenticates at once")
    func learnsBasic() async throws {
        let server = try await ServerFarm.shared.server(.nginx)
        let proxy = try await FaultProxy(to: server.port)
        defer { proxy.stop() }
        let loop = TransferLoop()
        for number in 0..<5 {
            let url = "http://127.0.0.1:\(proxy.port)/none-\(number)"
            let response = try await loop.perform(HTTPRequest("GET", url, credentials: credentials))
            #expect(response.status == 404)
        }
        let challenges = try proxy.log().filter { $0.contains("401") }
        #expect(challenges.count == 1)
    }

    @Test("remembers Digest's challenge")
    func learnsDigest() async throws {
        let server = try await RealServer.start(.apacheDigestTLS)
        defer { server.stop() }
        let loop = TransferLoop()
        let url = "https://127.0.0.1:\(server.port)"
        let caFile = server.credentials.caFile
        for number in 0..<20 {
            let body = Array("body \(number)".utf8)
            let put = HTTPRequest("PUT", "\(url)/\(number)", body: body, credentials: credentials, caFile: caFile)
            #expect(try await loop.perform(put).status == 201)
            let get = HTTPRequest("GET", "\(url)/\(number)", credentials: credentials, caFile: caFile)
            #expect(try await loop.perform(get).body == body)
        }
    }

    @Test("a cancelled request ends at once, and the others go on")
    func cancellation() async throws {
        let server = try await ServerFarm.shared.server(.nginx)
        let proxy = try await FaultProxy(to: server.port, rules: ["path=/hang hang"])
        defer { proxy.stop() }
        let loop = TransferLoop()
        let url = "http://127.0.0.1:\(proxy.port)"
        let credentials = credentials
        let hanging = (0..<4).map { _ in
            Task { try await loop.perform(HTTPRequest("GET", "\(url)/hang", credentials: credentials)) }
        }
        try await Task.sleep(for: .milliseconds(200))
        let start = ContinuousClock.now
        for task in hanging { task.cancel() }
        for task in hanging {
            let error = await #expect(throws: CurlError.self) { try await task.value }
            #expect(error?.kind == .cancelled)
        }
        #expect(start.duration(to: .now) < .seconds(20))
        #expect(try await loop.perform(HTTPRequest("GET", "\(url)/other", credentials: credentials)).status == 404)
        let early = Task {
            try? await Task.sleep(for: .seconds(60))
            return try await loop.perform(HTTPRequest("GET", url))
        }
        early.cancel()
        let error = await #expect(throws: CurlError.self) { try await early.value }
        #expect(error?.kind == .cancelled)
    }

    @Test("time limits")
    func timeLimits() async throws {
        let server = try await ServerFarm.shared.server(.nginx)
        let proxy = try await FaultProxy(to: server.port, rules: ["hang"])
        defer { proxy.stop() }
        let loop = TransferLoop()
        for limits in [HTTPTimeLimits(stallSeconds: 1), HTTPTimeLimits(totalSeconds: 1)] {
            let request = HTTPRequest("GET", "http://127.0.0.1:\(proxy.port)/", timeLimits: limits)
            let error = await #expect(throws: CurlError.self) { try await loop.perform(request) }
            #expect(error?.kind == .timedOut)
            #expect(error?.mayHaveArrived == true)
        }
    }

    @Test("more requests than connections wait for their turn, and a body has its limit")
    func limits() async throws {
        let server = try await ServerFarm.shared.server(.nginx)
        let loop = TransferLoop(limits: ConnectionLimits(total: 3, perHost: 2))
        let url = "http://127.0.0.1:\(server.port)/limits-\(UInt32.random(in: .min ... .max))"
        let credentials = credentials
        let object = bytes(100_000)
        let put = try await loop.perform(HTTPRequest("PUT", url, body: object, credentials: credentials))
        #expect(put.status == 201)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    let response = try? await loop.perform(HTTPRequest("GET", url, credentials: credentials))
                    #expect(response?.body == object)
                    #expect(response?.header("content-LENGTH") == "100000")
                }
            }
        }
        let tooLong = HTTPRequest("GET", url, credentials: credentials, maximumBodyBytes: 99_999)
        let error = await #expect(throws: CurlError.self) { try await loop.perform(tooLong) }
        #expect(error?.kind == .bodyTooLarge)
    }

    @Test("a closed loop, and requests that are none")
    func refusals() async throws {
        let loop = TransferLoop()
        for url in ["", "nonsense", "ftp://127.0.0.1/", "http://a:b@127.0.0.1/", "http://127.0.0.1/\r\nX: y"] {
            let error = await #expect(throws: CurlError.self) { try await loop.perform(HTTPRequest("GET", url)) }
            #expect(error?.kind == .invalid || error?.kind == .redirect, "\(url): \(error?.message ?? "")")
            #expect(error?.message.contains("a:b") == false)
        }
        loop.close()
        let error = await #expect(throws: CurlError.self) {
            try await loop.perform(HTTPRequest("GET", "http://127.0.0.1:1/"))
        }
        #expect(error?.kind == .closed)
    }
}
