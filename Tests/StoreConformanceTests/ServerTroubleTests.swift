import Curl
import Foundation
import Logging
import Testing
import VDriveModel
import VDriveStore
import VDriveTestKit

/// What real servers, full disks and broken links do to a WebDAV store.
@Suite("servers in trouble", .timeLimit(.minutes(2)))
struct ServerTroubleTests {
    private let name = ObjectName("blocks/0000000/blk_1")
    private let body = bytes(300_000)

    @Test("a wrong password", arguments: Subject.servers)
    func wrongPassword(_ subject: Subject) async throws {
        try await subject.withServer { server, path in
            var credentials = server.credentials
            credentials.password = "geheim"
            let store = try server.store(path, credentials: credentials)
            for error in [
                await storeError { try await store.get(name, range: nil) },
                await storeError { try await store.put(name, body) },
                await storeError { try await store.length(of: name) },
                await storeError { try await store.list("") },
                await storeError { try await store.claim(name, with: .makeCollection) },
            ] {
                #expect(error?.kind == .unauthorized)
                #expect(error?.message.contains("geheim") == false)
            }
        }
    }

    @Test("an unknown certificate")
    func unknownCertificate() async throws {
        let server = try await ServerFarm.shared.server(.apacheDigestTLS)
        let credentials = StoreCredentials(username: "user", password: "password")
        let store = try server.store("x", credentials: credentials)
        let error = await storeError { try await store.get(name, range: nil) }
        #expect(error?.kind == .invalid)
        #expect(error?.message.contains("certificate") == true)
    }

    @Test("a folder without permission", arguments: [Subject.apache, .apacheDigestTLS])
    func forbidden(_ subject: Subject) async throws {
        try await subject.withServer { server, _ in
            let folder = server.files.appendingPathComponent("closed-\(UInt32.random(in: .min ... .max))")
            // Apache serves as www-data: what belongs to root alone is closed to it.
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            try Data(body).write(to: folder.appendingPathComponent("secret"))
            try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
            let store = try server.store(folder.lastPathComponent)
            #expect(await storeError { try await store.get(ObjectName("secret"), range: nil) }?.kind == .forbidden)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
            #expect(try await store.get(ObjectName("secret"), range: nil) == body)
            // It may be read now, and still not be written.
            let error = await storeError { try await store.put(ObjectName("new"), body) }
            #expect(error != nil)
            #expect(try await store.length(of: ObjectName("new")) == nil)
        }
    }

    @Test("nobody there")
    func unreachable() async throws {
        for host in ["127.0.0.1:\(FreePort.next())", "no-such-host.invalid:80"] {
            let url = try StoreURL("webdav://\(host)/x")
            let store = try WebDAVStore(url: url, credentials: nil, loop: TransferLoop())
            let error = await storeError { try await store.put(name, body) }
            #expect(error?.kind == .unavailable)
            #expect(await storeError { try await store.claim(name, with: .makeCollection) }?.kind == .unavailable)
        }
    }

    @Test("a folder that somebody removed comes back", arguments: Subject.servers)
    func folderRemoved(_ subject: Subject) async throws {
        try await subject.withServer { server, path in
            let store = try server.store(path)
            try await store.put(name, body)
            let top = String(path.prefix { $0 != "/" })
            try FileManager.default.removeItem(at: server.files.appendingPathComponent(top))
            try await Task.sleep(for: .milliseconds(1200))
            try await store.put(name, body)
            #expect(try await store.get(name, range: nil) == body)
        }
    }

    @Test(
        "answers that mean something",
        arguments: [
            ("method=PUT status=507", StoreError.Kind.full), ("method=PUT status=413", .full),
            ("method=PUT status=403", .forbidden), ("method=PUT status=503", .unavailable),
            ("method=PUT status=423", .unavailable), ("method=PUT status=429", .unavailable),
            ("method=PUT status=502", .unavailable), ("method=PUT status=405", .unsupported),
            ("method=PUT drop", .unavailable), ("method=PUT lost", .unavailable),
            ("method=PUT halfput=1000", .unavailable), ("method=PUT status=418", .invalid),
        ]
    )
    func statuses(_ rule: String, kind: StoreError.Kind) async throws {
        try await withProxy(.apache, rules: [rule]) { store, _, _ in
            let error = await storeError { try await store.put(name, body) }
            #expect(error?.kind == kind, "\(error?.message ?? "no error")")
        }
    }

    @Test("503 with Retry-After recovers")
    func retryAfter() async throws {
        try await withProxy(.nginx, rules: ["method=PUT status=503 retry-after=1 times=2"]) { store, proxy, _ in
            #expect(await storeError { try await store.put(name, body) }?.retryAfterSeconds == 1)
            let remote = try openStore(
                url: StoreURL(store.location),
                credentials: StoreCredentials(username: "user", password: "password"),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let start = ContinuousClock.now
            try await remote.writes.put(name, body)
            #expect(start.duration(to: .now) >= .seconds(1))
            #expect(try await remote.reads.get(name, range: nil) == body)
            #expect(remote.meter.snapshot().errors == 1)
        }
    }

    @Test(
        "bodies that are not what they should be never come back as data",
        arguments: ["truncate=1000", "truncate=0", "lost", "drop", "short=1000", "norange", "status=206"]
    )
    func bodies(_ rule: String) async throws {
        try await withProxy(.nginx) { store, proxy, _ in
            try await store.put(name, body)
            try proxy.add("method=GET \(rule)")
            let range = 100_000..<104_096
            do {
                #expect(try await store.get(name, range: range) == Array(body[range]))
                // Ignoring the range is allowed, since the whole object has it.
                #expect(rule == "norange")
            } catch {
                let error = try #require(error as? StoreError)
                #expect(error.isTransient, "\(error.message)")
            }
        }
    }

    @Test("a connection cut in the middle", arguments: [1000, 100_000, 299_000])
    func cut(_ count: Int) async throws {
        try await Subject.nginx.withServer { server, path in
            try await server.store(path).put(name, body)
            let proxy = try await LinkProxy(to: server.port)
            defer { proxy.stop() }
            let store = try server.store(path, port: proxy.port)
            #expect(try await store.get(name, range: nil) == body)
            try proxy.tell("cut \(count)")
            try proxy.tell("kill")
            #expect(await storeError { try await store.get(name, range: nil) }?.kind == .unavailable)
            #expect(await storeError { try await store.put(ObjectName("blocks/x"), body) }?.kind == .unavailable)
            try proxy.tell("cut 0")
            try proxy.tell("kill")
            #expect(try await store.get(name, range: nil) == body)
        }
    }

    @Test("a claim whose answer is lost is uncertain, or settled by its token")
    func lostClaim() async throws {
        try await withProxy(.nginx, rules: ["method=MKCOL path=/terms/1/ lost"]) { store, _, _ in
            let error = await storeError { try await store.claim(ObjectName("terms/1"), with: .makeCollection) }
            #expect(error?.kind == .uncertain)
        }
        try await withProxy(.rclone, rules: ["method=MOVE lost"]) { store, _, _ in
            let first = try await store.claim(ObjectName("terms/1"), with: .moveNoOverwrite)
            let second = try await store.claim(ObjectName("terms/1"), with: .moveNoOverwrite)
            #expect(first && !second)
        }
        try await withProxy(.apache, rules: ["method=MKCOL path=/terms/2/ drop"]) { store, _, _ in
            let error = await storeError { try await store.claim(ObjectName("terms/2"), with: .makeCollection) }
            #expect(error?.kind == .uncertain)
        }
    }

    @Test("a server that cannot list")
    func noListing() async throws {
        try await withProxy(.nginx, rules: ["method=PROPFIND status=405"]) { store, _, _ in
            #expect(await storeError { try await store.list("") }?.kind == .unsupported)
            #expect(try await store.quota() == nil)
            try await StoreProbe.checkWritable(store)
        }
    }

    /// Runs a test with a store behind a proxy that misbehaves, and another one straight to the server.
    private func withProxy(
        _ kind: RealServer.Kind,
        rules: [String] = [],
        _ body: (_ store: WebDAVStore, _ proxy: FaultProxy, _ straight: WebDAVStore) async throws -> Void
    ) async throws {
        let server = try await ServerFarm.shared.server(kind)
        let proxy = try await FaultProxy(to: server.port, rules: rules)
        defer { proxy.stop() }
        let path = "f-\(UInt32.random(in: .min ... .max))"
        try await body(server.store(path, port: proxy.port), proxy, server.store(path))
    }
}
