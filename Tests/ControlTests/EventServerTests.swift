import Linux
import NIOCore
import Synchronization
import Testing
import VDriveClient
import VDriveControl
import VDriveProtocol
import VDriveTestKit

/// Events and jobs over a real server and socket.
@Suite("events and jobs on a socket", .timeLimit(.minutes(2)))
struct EventServerTests {
    private let hub = EventHub(run: "0badcafe")

    private static func request(_ id: Int, _ method: String, _ params: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"# + "\n"
    }

    private func publish(_ numbers: ClosedRange<Int>) {
        for number in numbers {
            hub.publish(
                .diskWarning(
                    EventPayload.WarningChange(
                        kind: "\(number)",
                        isActive: true,
                        message: String(repeating: "x", count: 900)
                    )
                ),
                disk: "a"
            )
        }
    }

    /// Runs a server with events, and with `disk.sync` and `disk.detach` as jobs that the test has in its hands.
    private func withServer(
        limits: ControlServer.Limits = ControlServer.Limits(),
        _ body: @escaping @Sendable (TestServer, JobRegistry) async throws -> Void
    ) async throws {
        let jobs = JobRegistry(events: hub)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await jobs.run() }
            defer { group.cancelAll() }
            try await TestServer.with(
                limits: limits,
                { table in
                    Self.addJobs(to: &table, jobs)
                    EventMethods.add(to: &table)
                    JobMethods.add(to: &table, jobs: jobs)
                    table.events = hub
                },
                { server in try await body(server, jobs) }
            )
        }
    }

    private static func addJobs(to table: inout DispatchTable, _ jobs: JobRegistry) {
        // Syncs until somebody cancels it; a detach does not let itself be cancelled.
        table.add(DiskSync.self, in: jobs) { (params, job) throws(RPCError) in
            job.report(phase: "waiting", done: 1, of: 4, .chunks)
            guard params.name != "bad" else { throw RPCError(.notFound, "There is no disk bad.") }
            return try await job.cancellable { () async throws(RPCError) in
                do { try await Task.sleep(for: .seconds(100)) } catch { throw RPCError(.busy, "Woken.") }
                throw RPCError(.internal, "Nobody has cancelled it.")
            }
        }
        table.add(DiskDetach.self, in: jobs) { (params, job) throws(RPCError) in
            try? await Task.sleep(for: .milliseconds(400))
            return DiskStatus(
                name: params.name,
                uuid: "u",
                state: .detached,
                sizeBytes: 1,
                chunkBytes: 1,
                durability: .local,
                uploadIntervalSeconds: 5,
                cachePolicy: .s3fifo,
                cacheLimitBytes: 1,
                remoteURL: "file:///x"
            )
        }
    }

    private static func integer(_ json: JSONValue?) -> Int? {
        if case .integer(let number)? = json { Int(number) } else { nil }
    }

    @Test("a slow subscriber hears of its gap when it reads again, and the other one gets everything")
    func slow() async throws {
        try await withServer { server, _ in
            let slow = try RawClient(server.socket, secondsMax: 30)
            let quick = try RawClient(server.socket, secondsMax: 30)
            try await blocking {
                for client in [slow, quick] {
                    try client.send(Self.request(1, "events.subscribe"))
                    #expect(try client.json()?["result"]?["sequence"] == .integer(0))
                }
            }
            let count = 6000
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await blocking {
                        for number in 1...count {
                            let params = try quick.json()?["params"]
                            #expect(Self.integer(params?["sequence"]) == number)
                        }
                    }
                }
                // At a pace that somebody who reads keeps up with, on any machine.
                for step in 0..<count / 100 {
                    publish(step * 100 + 1...step * 100 + 100)
                    try await Task.sleep(for: .milliseconds(40))
                }
                try await group.waitForAll()
            }
            try await blocking {
                var next = 1
                var lost = 0
                while next <= count {
                    let line = try #require(try slow.json())
                    let params = line["params"]
                    if line["method"] == .string("events.gap") {
                        #expect(Self.integer(params?["from"]) == next)
                        next = try #require(Self.integer(params?["to"])) + 1
                        lost += try #require(Self.integer(params?["count"]))
                        continue
                    }
                    #expect(Self.integer(params?["sequence"]) == next)
                    next += 1
                }
                // What it got lay in the queue, the channel's buffer and the kernel's, and nowhere else.
                #expect(lost > 3000 && lost <= count - RPCLimits.eventsWaitingMax, "\(lost) are lost")
                // The connection is as good as before.
                try slow.send(Self.request(2, "jobs.list"))
                #expect(try slow.json()?["id"] == .integer(2))
            }
        }
    }

    @Test("a subscriber that never reads is cut off, and forgotten")
    func neverReads() async throws {
        var limits = ControlServer.Limits()
        limits.unreadPatience = .milliseconds(500)
        try await withServer(limits: limits) { server, _ in
            let deaf = try RawClient(server.socket, secondsMax: 30)
            try await blocking { try deaf.send(Self.request(1, "events.subscribe")) }
            let deadline = ContinuousClock.now + .seconds(30)
            while hub.subscriptionCount == 0, .now < deadline { try await Task.sleep(for: .milliseconds(10)) }
            #expect(hub.subscriptionCount == 1)
            while hub.subscriptionCount == 1, .now < deadline {
                publish(1...100)
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(hub.subscriptionCount == 0)
            publish(1...RPCLimits.eventsKept + 1)
            let other = try RawClient(server.socket)
            try await blocking {
                try other.send(Self.request(2, "events.subscribe", #"{"since":0}"#))
                #expect(try other.json()?["id"] == .integer(2))
                #expect(try other.json()?["method"] == .string("events.gap"))
            }
        }
    }

    @Test("the answer to a subscription comes before its events, also in a batch and in a storm")
    func answerFirst() async throws {
        try await withServer { server, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        publish(1...20)
                        try? await Task.sleep(for: .milliseconds(1))
                    }
                }
                try await blocking {
                    for _ in 0..<50 {
                        let client = try RawClient(server.socket)
                        let call = Self.request(1, "events.subscribe", #"{"since":0}"#).dropLast()
                        try client.send("[\(call),\(call.replacing("\"id\":1", with: "\"id\":2"))]\n")
                        guard case .array(let answers)? = try client.json() else {
                            Issue.record("an event came first")
                            return
                        }
                        #expect(answers.count == 2)
                        #expect(try client.json()?["id"] == nil)
                    }
                }
                group.cancelAll()
            }
            #expect(hub.subscriptionCount <= 100)
        }
    }

    @Test("a client that closes its side, or goes, leaves no subscription; the last event of a daemon arrives")
    func ends() async throws {
        try await withServer { server, _ in
            let closing = try RawClient(server.socket)
            let staying = try RawClient(server.socket)
            try await blocking {
                try closing.send(Self.request(1, "events.subscribe"))
                closing.finish()
                #expect(try closing.json()?["id"] == .integer(1))
                #expect(try closing.line() == nil)
                try staying.send(Self.request(1, "events.subscribe", #"{"types":["daemon.stopping"]}"#))
                #expect(try staying.json()?["id"] == .integer(1))
            }
            do {
                let leaving = try RawClient(server.socket)
                try await blocking {
                    try leaving.send(Self.request(1, "events.subscribe"))
                    #expect(try leaving.json()?["id"] == .integer(1))
                }
            }
            let deadline = ContinuousClock.now + .seconds(10)
            while hub.subscriptionCount > 1, .now < deadline { try await Task.sleep(for: .milliseconds(10)) }
            #expect(hub.subscriptionCount == 1)
            hub.publish(.daemonStopping, disk: nil)
            await server.stop()
            try await blocking { () throws in
                #expect(try staying.json()?["params"]?["type"] == .string("daemon.stopping"))
                #expect(try staying.line() == nil)
            }
        }
    }

    @Test("the client of this tree gets events on a connection that makes calls, too")
    func client() async throws {
        try await withServer { server, _ in
            try await blocking {
                var connection = try ControlConnection(path: server.socket)
                let parameters = EventsSubscribe.Parameters(types: [.diskWarning])
                let subscription = try connection.call(EventsSubscribe.self, parameters)
                #expect(subscription.run == "0badcafe")
                publish(1...3)
                #expect(try connection.call(JobsList.self).jobs.isEmpty)
                for number in 1...3 {
                    let event: EventNotification = try connection.nextNotification().params.decode()
                    #expect(event.subscription == subscription.subscription)
                    guard case .diskWarning(let warning)? = event.event.payload else {
                        Issue.record("\(event)")
                        return
                    }
                    #expect(warning.kind == "\(number)")
                }
            }
        }
    }

    // MARK: Jobs

    @Test("a call is a job while it runs; another client cancels it, and it is answered")
    func cancels() async throws {
        try await withServer { server, _ in
            try await blocking {
                let caller = try RawClient(server.socket, secondsMax: 20)
                try caller.send(Self.request(1, "disk.sync", #"{"name":"a"}"#))
                var other = try ControlConnection(path: server.socket)
                var job: Job?
                while job == nil { job = try other.call(JobsList.self).jobs.first { $0.progress.phase == "waiting" } }
                let id = try #require(job?.id)
                #expect(job?.kind == "disk.sync" && job?.disk == "a" && job?.state == .running)
                #expect(job?.progress.total == 4 && job?.progress.unit == .chunks)
                // It may be cancelled from a moment after its first report.
                var asked: Job?
                while asked == nil { asked = try? other.call(JobsCancel.self, JobsCancel.Parameters(id: id)) }
                let ended = try other.call(JobsWatch.self, JobsWatch.Parameters(id: id, afterRevision: .max >> 1))
                #expect(ended.state == .cancelled && ended.endedAt != nil)
                let answer = try caller.json()
                #expect(answer?["id"] == .integer(1) && answer?["error"]?["data"]?["kind"] == .string("refused"))
                #expect(ended.error == answer?["error"])
            }
        }
    }

    @Test("jobs.start answers at once, jobs.watch at the end, and what cannot be cancelled is refused")
    func starts() async throws {
        try await withServer { server, _ in
            try await blocking {
                var client = try ControlConnection(path: server.socket)
                let params = JSONValue.object(["name": .string("a")])
                let start = JobsStart.Parameters(method: "disk.detach", params: params)
                let job = try client.call(JobsStart.self, start)
                #expect(job.state == .running && job.revision == 1)
                do throws(ControlError) {
                    _ = try client.call(JobsCancel.self, JobsCancel.Parameters(id: job.id))
                    Issue.record("it was cancelled")
                } catch {
                    guard case .rpc(let error) = error else { throw error }
                    #expect(error.code == .refused)
                }
                let ended = try client.call(JobsWatch.self, JobsWatch.Parameters(id: job.id, afterRevision: 1))
                #expect(ended.state == .succeeded && ended.result?["name"] == .string("a"))
                let bad = JobsStart.Parameters(method: "disk.sync", params: .object(["name": .string("bad")]))
                let failing = try client.call(JobsStart.self, bad)
                let failed = try client.call(JobsWatch.self, JobsWatch.Parameters(id: failing.id, afterRevision: 99))
                #expect(failed.state == .failed && failed.error?["data"]?["kind"] == .string("notFound"))
            }
        }
    }

    @Test("a job goes on without its client, and a thousand that fail at once are all answered")
    func outlives() async throws {
        try await withServer { server, jobs in
            do {
                let leaving = try RawClient(server.socket)
                try await blocking { try leaving.send(Self.request(1, "disk.detach", #"{"name":"a"}"#)) }
                while jobs.list().isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            }
            let id = try #require(jobs.list().first?.id)
            #expect(try await jobs.news(of: id, after: 99).state == .succeeded)
            try await blocking {
                let client = try RawClient(server.socket, secondsMax: 30)
                let call = Self.request(7, "disk.sync", #"{"name":"bad"}"#).dropLast()
                try client.send("[" + Array(repeating: String(call), count: 1024).joined(separator: ",") + "]\n")
                guard case .array(let answers)? = try client.json() else {
                    Issue.record("no batch")
                    return
                }
                #expect(answers.count == 1024)
                #expect(answers.allSatisfy { $0["error"]?["data"]?["kind"] == .string("notFound") })
            }
            #expect(jobs.list().count == RPCLimits.jobsKept)
        }
    }
}
