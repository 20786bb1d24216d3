import Glibc
import Linux
import NIOCore
import Synchronization
import Testing
import VDriveClient
import VDriveControl
import VDriveProtocol
import VDriveTestKit

@Suite("server", .timeLimit(.minutes(2)))
struct ServerTests {
    /// What the call named "gated" waits for, until one named "open" comes.
    private static let gate: (stream: AsyncStream<Never>, continuation: AsyncStream<Never>.Continuation) =
        AsyncStream.makeStream(of: Never.self)

    /// That the call named "long" is under way.
    private static let isLongBegun = Atomic(false)

    private static func fill(_ table: inout DispatchTable) {
        table.add(DaemonVersion.self) { (_) throws(RPCError) in
            DaemonVersion.Output(version: "1", protocol: 1, pid: getpid())
        }
        table.add(CacheEvict.self) { (params) throws(RPCError) in
            if params.target.name == "open" { gate.continuation.finish() }
            if params.target.name == "gated" { for await _ in gate.stream {} }
            if params.target.name == "long" { isLongBegun.store(true, ordering: .relaxed) }
            // A call that takes long, and gives a long answer where it is asked to.
            if params.wait == true { try? await Task.sleep(for: .milliseconds(300)) }
            if params.target.name == "fail" { throw RPCError(.refused, String(repeating: "x", count: 100_000)) }
            return CacheEvict.Output(evictedBytes: UInt64(params.target.name?.count ?? 0))
        }
    }

    private static func request(_ id: Int, _ method: String, _ params: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"# + "\n"
    }

    @Test("the client of this tree talks to it")
    func client() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                var connection = try ControlConnection(path: server.socket)
                for _ in 0..<3 { #expect(try connection.call(DaemonVersion.self).pid == getpid()) }
                let params = CacheEvict.Parameters(name: "abc")
                #expect(try connection.call(CacheEvict.self, params).evictedBytes == 3)
                do {
                    _ = try connection.call(CacheEvict.self, CacheEvict.Parameters(name: "fail"))
                    Issue.record("no error")
                } catch {
                    guard case .rpc(let error)? = error as? ControlError else { throw error }
                    #expect(error.code == .refused)
                }
            }
        }
    }

    @Test("the socket has mode 0660, and goes with the server")
    func mode() async throws {
        let path = Mutex("")
        try await TestServer.with(Self.fill) { server in
            path.withLock { $0 = server.socket }
            let status = try FileStatus.of(server.socket)
            #expect(status.kind == .socket && status.mode == 0o660)
        }
        #expect(!Directory.exists(path.withLock { $0 }))
    }

    @Test("100 calls at the same time, the slow ones not in the way of the quick ones")
    func concurrent() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                var text = Self.request(0, "cache.evict", #"{"name":"gated","wait":false}"#)
                for id in 1..<99 { text += Self.request(id, id % 7 == 0 ? "no.such" : "daemon.version") }
                try client.send(text)
                var ids: [Int] = []
                for answered in 0..<100 {
                    // The slow call goes on once all the quick ones are answered.
                    if answered == 98 {
                        try client.send(Self.request(99, "cache.evict", #"{"name":"open","wait":false}"#))
                    }
                    guard case .integer(let id)? = try client.json()?["id"] else { break }
                    ids.append(Int(id))
                }
                #expect(ids.sorted() == Array(0..<100))
                #expect(!ids.prefix(98).contains(0), "the slow call is in nobody's way")
            }
        }
    }

    @Test("100 clients at the same time")
    func clients() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let clients = try (0..<100).map { _ in try RawClient(server.socket) }
                for (id, client) in clients.enumerated() { try client.send(Self.request(id, "daemon.version")) }
                for (id, client) in clients.enumerated() {
                    #expect(try client.json()?["id"] == .integer(Int64(id)))
                }
            }
        }
    }

    @Test("a client that ends its side is still answered, also for a last line without a newline")
    func halfClosed() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                try client.send(
                    Self.request(1, "cache.evict", #"{"name":"slow","wait":true}"#)
                        + #"{"jsonrpc":"2.0","id":2,"method":"daemon.version"}"#
                )
                client.finish()
                var ids: Set<JSONValue> = []
                while let json = try client.json() { ids.insert(json["id"] ?? .null) }
                #expect(ids == [.integer(1), .integer(2)])
            }
        }
    }

    @Test(
        "nonsense is answered, and the connection lives on",
        arguments: [
            "nonsense\n", "{\n", "[]\n", "\u{0}\u{1}\n", "[[[[\n", "{\"jsonrpc\":\"2.0\",\"id\":\n",
        ]
    )
    func nonsense(text: String) async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                try client.send(text)
                let json = try client.json()
                #expect(json?["id"] == .null && json?["error"] != nil)
                try client.send(Self.request(5, "daemon.version"))
                #expect(try client.json()?["id"] == .integer(5))
            }
        }
    }

    @Test("a line beyond 1 MiB is refused and ends the connection; others are served")
    func tooLong() async throws {
        try await TestServer.with(Self.fill) { server in
            try await blocking {
                let client = try RawClient(server.socket)
                let other = try RawClient(server.socket)
                // The server may close before all is sent.
                try? client.send([UInt8](repeating: UInt8(ascii: "x"), count: RPCLimits.lineBytesMax + 100_000))
                #expect(try client.json()?["error"]?["code"] == .integer(-32600))
                #expect(try client.line() == nil)
                try other.send(Self.request(1, "daemon.version"))
                #expect(try other.json()?["id"] == .integer(1))
            }
        }
    }

    @Test("a client that never reads is closed, and costs others nothing")
    func neverReads() async throws {
        var limits = ControlServer.Limits()
        limits.unreadPatience = .milliseconds(500)
        try await TestServer.with(limits: limits, Self.fill) { server in
            try await blocking {
                let deaf = try RawClient(server.socket, secondsMax: 30)
                let line = Self.request(1, "cache.evict", #"{"name":"fail"}"#)
                var isClosed = false
                for _ in 0..<100_000 where !isClosed {
                    do { try deaf.send(line) } catch { isClosed = true }
                }
                #expect(isClosed)
                let other = try RawClient(server.socket)
                try other.send(Self.request(2, "daemon.version"))
                #expect(try other.json()?["id"] == .integer(2))
            }
        }
    }

    @Test("other users are refused")
    func peers() throws {
        let policy = AccessPolicy(daemonUser: 1000)
        #expect(policy.allows(PeerCredentials(pid: 1, uid: 0, gid: 5)))
        #expect(policy.allows(PeerCredentials(pid: 1, uid: 1000, gid: 5)))
        #expect(!policy.allows(PeerCredentials(pid: 1, uid: 1001, gid: 0)))
        #expect(!policy.allows(PeerCredentials(pid: 1, uid: 1001, gid: 0, groups: [0, 5])))
    }

    @Test("members of the configured group are let in, also those of whom it is not the first group")
    func group() throws {
        let policy = AccessPolicy(daemonUser: 1000, group: try AccessPolicy.Group(named: "4242"))
        #expect(policy.allows(PeerCredentials(pid: 1, uid: 1001, gid: 4242)))
        #expect(policy.allows(PeerCredentials(pid: 1, uid: 1001, gid: 5, groups: [7, 4242])))
        #expect(!policy.allows(PeerCredentials(pid: 1, uid: 1001, gid: 5, groups: [7, 4243])))
        #expect(try AccessPolicy.Group(named: "root").id == 0)
        let error = #expect(throws: RPCError.self) { _ = try AccessPolicy.Group(named: "vdrive-no-such-group") }
        #expect(error?.code == .fixConfiguration && error?.message.contains("groupadd") == true)
    }

    @Test("the socket belongs to the configured group", .enabled(if: geteuid() == 0, "only root may give a file away"))
    func groupOfSocket() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/s"
        let socket = try ListeningSocket(path: path, group: 4242)
        let status = try FileStatus.of(path)
        #expect(status.mode == 0o660 && status.group == 4242 && status.owner == 0)
        withExtendedLifetime(socket.isInherited) {}
    }

    @Test("the kernel tells who a peer is, with all groups")
    func kernel() throws {
        var ends: [CInt] = [0, 0]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { for end in ends { close(end) } }
        let peer = try PeerCredentials.of(ends[0])
        #expect(peer.pid == getpid() && peer.uid == geteuid() && peer.gid == getegid())
        var own = [gid_t](repeating: 0, count: 65536)
        let count = getgroups(CInt(own.count), &own)
        #expect(Set(peer.groups) == Set(own.prefix(Int(count))))
    }

    @Test("a second server does not take the socket of one that answers, and takes that of a dead one")
    func sockets() async throws {
        try await TestServer.with(Self.fill) { server in
            #expect(throws: RPCError.self) { _ = try ListeningSocket(path: server.socket) }
            try await blocking {
                let client = try RawClient(server.socket)
                try client.send(Self.request(1, "daemon.version"))
                #expect(try client.json()?["id"] == .integer(1))
            }
        }
        let folder = try ScratchFolder()
        let path = "\(folder.path)/s"
        // It closes without taking its name away, as a process does that is killed.
        do { _ = try ListeningSocket(path: path) }
        #expect(Directory.exists(path))
        let socket = try ListeningSocket(path: path)
        socket.removeName()
        #expect(!Directory.exists(path))
        let file = try folder.write("precious", to: "file")
        #expect(throws: RPCError.self) { _ = try ListeningSocket(path: file) }
        #expect(throws: RPCError.self) {
            _ = try ListeningSocket(path: "\(folder.path)/\(String(repeating: "x", count: 100))")
        }
        #expect(throws: RPCError.self) { _ = try ListeningSocket(path: "\(folder.path)/none/s") }
        #expect(try Directory.list(folder.path) == ["file"])
    }

    @Test("a stop answers what runs, then closes idle connections")
    func stops() async throws {
        try await TestServer.with(Self.fill) { server in
            let idle = try RawClient(server.socket)
            let busy = try RawClient(server.socket)
            try busy.send(Self.request(1, "cache.evict", #"{"name":"long","wait":true}"#))
            while !Self.isLongBegun.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(5)) }
            await server.stop()
            try await blocking { () throws in
                #expect(try busy.json()?["id"] == .integer(1))
                #expect(try busy.line() == nil)
                #expect(try idle.line() == nil)
            }
        }
    }

    @Test("nobody there is said in one sentence")
    func notReachable() throws {
        let folder = try ScratchFolder()
        for path in ["\(folder.path)/none", "", String(repeating: "x", count: 200)] {
            do {
                _ = try ControlConnection(path: path)
                Issue.record("connected to \(path)")
            } catch {
                guard case .notReachable(let sentence) = error else { throw error }
                #expect(sentence.hasSuffix("."))
            }
        }
    }
}
