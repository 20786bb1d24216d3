import Glibc
import Linux
import Logging
import ServiceLifecycle
import Synchronization
import Testing
import VDriveProtocol
import VDriveTestKit

@testable import VDriveControl

@Suite("socket activation")
struct SocketActivationTests {
    private func read(_ pid: String?, _ count: String?, _ names: String? = nil) throws -> SocketActivation? {
        let environment = ["LISTEN_PID": pid, "LISTEN_FDS": count, "LISTEN_FDNAMES": names].compactMapValues(\.self)
        return try SocketActivation(pid: 77) { environment[$0] }
    }

    @Test("one socket is ours, whatever it is called; none, or another process's, is not")
    func one() throws {
        for name in [nil, "unknown", "vdrived.socket", "control", ""] {
            let activation = try #require(try read("77", "1", name))
            #expect(activation.descriptor == 3 && activation.others.isEmpty)
        }
        #expect(try read(nil, nil) == nil)
        #expect(try read("77", nil) == nil)
        #expect(try read(nil, "1") == nil)
        #expect(try read("78", "1") == nil)
        #expect(try read("78", "nonsense") == nil)
        #expect(try read("77", "0") == nil)
    }

    @Test("of several it is the one that is called control")
    func several() throws {
        let activation = try #require(try read("77", "3", "web:control:"))
        #expect(activation.descriptor == 4 && activation.others == [3, 5])
    }

    @Test(
        "what cannot be meant for us is refused",
        arguments: [
            ("77", "2", nil, "0 of them are called control"), ("77", "2", "a:b", "0 of them are called control"),
            ("77", "2", "control:control", "2 of them are called control"), ("77", "2", "control", "1 names for 2"),
            ("77", "1", "a:b", "2 names for 1"), ("77", "-1", nil, "LISTEN_FDS is -1"), ("77", "x", nil, "LISTEN_FDS"),
            ("77", "99999999999", nil, "LISTEN_FDS"), ("x", "1", nil, "LISTEN_PID is x"), ("0", "1", nil, "LISTEN_PID"),
        ] as [(String, String, String?, String)]
    )
    func refuses(pid: String, count: String, names: String?, sentence: String) throws {
        let error = #expect(throws: RPCError.self) { _ = try read(pid, count, names) }
        #expect(error?.code == .fixConfiguration)
        #expect(error?.message.hasPrefix("Socket activation: ") == true)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
    }

    /// The number of a copy that nobody else closes.
    private func listening(_ path: String, type: __socket_type = SOCK_STREAM, listens: Bool = true) throws -> CInt {
        let descriptor = socket(AF_UNIX, CInt(type.rawValue), 0)
        let address = try #require(UnixAddress(path: path))
        try #require(address.with { bind(descriptor, $0, $1) } == 0)
        if listens { try #require(listen(descriptor, 5) == 0) }
        return descriptor
    }

    @Test("a socket that was passed keeps its name and its mode, and goes to no child")
    func inherits() throws {
        let folder = try ScratchFolder()
        let path = "\(folder.path)/s"
        let descriptor = try listening(path)
        try #require(chmod(path, 0o601) == 0)
        let other = dup(descriptor)
        func file(_ number: CInt) -> [UInt64]? {
            (try? FileStatus.of("/proc/self/fd/\(number)")).map { [$0.device, $0.inode] }
        }
        let own = try #require(file(descriptor))
        try #require(file(other) == own)
        do {
            let socket = try ListeningSocket(SocketActivation(descriptor: descriptor, others: [other]))
            #expect(socket.path == path && socket.isInherited)
            #expect(fcntl(descriptor, F_GETFD) == FD_CLOEXEC)
            // Another test may have been given the number since.
            #expect(file(other) != own, "what we have no use for is closed")
            socket.removeName()
        }
        #expect(try FileStatus.of(path).mode == 0o601)
    }

    @Test("what is no listening Unix stream socket is refused")
    func refusesDescriptors() throws {
        let folder = try ScratchFolder()
        let file = open(try folder.write("", to: "file"), O_RDONLY)
        let cases: [(CInt, String)] = [
            (try listening("\(folder.path)/deaf", listens: false), "does not listen"),
            (try listening("\(folder.path)/packets", type: SOCK_SEQPACKET), "is no Unix stream socket"),
            (socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0), "is no Unix stream socket"), (file, "cannot be used"),
            (999_999, "cannot be used"),
        ]
        for (descriptor, sentence) in cases {
            let error = #expect(throws: RPCError.self) {
                _ = try ListeningSocket(SocketActivation(descriptor: descriptor, others: []))
            }
            #expect(error?.code == .fixConfiguration)
            #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
            close(descriptor)
        }
    }
}

@Suite("notices to systemd", .timeLimit(.minutes(2)))
struct SupervisionTests {
    private func read(_ environment: [String: String]) throws -> Supervision? {
        try Supervision(pid: 77) { environment[$0] }
    }

    @Test("the environment says where, and how often")
    func environment() throws {
        #expect(try read([:]) == nil)
        #expect(try read(["WATCHDOG_USEC": "1000000"]) == nil)
        for address in ["/run/systemd/notify", "@/abstract"] {
            #expect(try #require(try read(["NOTIFY_SOCKET": address])).watchdog == nil)
        }
        for (microseconds, owner, watchdog) in [
            ("30000000", nil, .seconds(30)), ("30000000", "77", .seconds(30)), ("30000000", "78", nil), ("0", nil, nil),
        ] as [(String, String?, Duration?)] {
            var environment = ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": microseconds]
            environment["WATCHDOG_PID"] = owner
            #expect(try #require(try read(environment)).watchdog == watchdog)
        }
        for bad in [
            ["NOTIFY_SOCKET": "relative"], ["NOTIFY_SOCKET": "@"], ["NOTIFY_SOCKET": "vsock:2:1"],
            ["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 107)],
            ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "often"], ["NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-1"],
        ] {
            let error = #expect(throws: RPCError.self) { _ = try read(bad) }
            #expect(error?.code == .fixConfiguration)
        }
    }

    @Test("notices are lines, and a status is one")
    func text() {
        #expect(Notice.text([.ready, .status("2 disks, 1 attached")]) == "READY=1\nSTATUS=2 disks, 1 attached\n")
        #expect(Notice.text([.stopping, .watchdog]) == "STOPPING=1\nWATCHDOG=1\n")
        #expect(Notice.text([.extendTimeout(.seconds(30))]) == "EXTEND_TIMEOUT_USEC=30000000\n")
        #expect(Notice.text([.status("a\nREADY=1\r\nb")]) == "STATUS=a READY=1 b\n")
        #expect(Notice.text([]).isEmpty)
    }

    @Test("a census is a sentence")
    func census() {
        var census = DiskCensus()
        #expect(census.sentence == "no disks")
        census.total = 1
        #expect(census.sentence == "1 disk")
        census.total = 5
        census.attached = 2
        census.attaching = 1
        census.troubled = 1
        census.leftOut = 3
        #expect(census.sentence == "5 disks, 2 attached, 1 being attached, 1 in trouble, 3 left out")
        census.isStopping = true
        census.uploadBytes = 12 << 20
        #expect(census.sentence == "stopping: 3 disks still in use, 12.0 MiB to upload")
        #expect(DiskCensus(isStopping: true).sentence == "stopping")
    }

    /// The next notice. Where all tests run at the same time the reporter's own task may wait long for its turn.
    private func notice(to listener: NoticeListener) async throws -> String? {
        for _ in 0..<5 {
            if let text = try await blocking({ try listener.next(seconds: 60) }) { return text }
        }
        return nil
    }

    /// Runs a body with a reporter and the manager's side of it.
    private func withReporter(
        watchdog: String?,
        _ look: @escaping @Sendable () async -> DiskCensus,
        _ body: @escaping @Sendable (SystemdReporter, NoticeListener, ServiceGroup) async throws -> Void
    ) async throws {
        let listener = try NoticeListener()
        var environment = ["NOTIFY_SOCKET": listener.address]
        environment["WATCHDOG_USEC"] = watchdog
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let reporter = SystemdReporter(supervision: try #require(try read(environment)), logger: quiet, look: look)
        let services = ServiceGroup(services: [reporter, StopHerald(of: reporter)], logger: quiet)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            do {
                try await body(reporter, listener, services)
            } catch {
                await services.triggerGracefulShutdown()
                throw error
            }
            await services.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    @Test("ready once the socket answers, then a status when it changes, then stopping")
    func tells() async throws {
        let attached = Mutex(1)
        let look: @Sendable () async -> DiskCensus = {
            DiskCensus(total: 2, attached: attached.withLock(\.self))
        }
        try await withReporter(watchdog: nil, look) { reporter, listener, services in
            #expect(try await blocking { try listener.next(seconds: 0.3) } == nil, "nothing answers yet")
            reporter.socketAnswers()
            let first = try await notice(to: listener)
            #expect(first == "READY=1\nSTATUS=2 disks, 1 attached")
            attached.withLock { $0 = 2 }
            let second = try await notice(to: listener)
            #expect(second == "STATUS=2 disks, 2 attached", "no sign of life without a watchdog")
            await services.triggerGracefulShutdown()
            let last = try await notice(to: listener)
            #expect(last == "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=30000000")
        }
    }

    @Test("no sign of life while the control path hangs, and again when it goes on")
    func watches() async throws {
        let gate = AsyncGate()
        let looks = Atomic(0)
        let look: @Sendable () async -> DiskCensus = {
            if looks.add(1, ordering: .relaxed).newValue == 3 { await gate.wait() }
            return DiskCensus()
        }
        try await withReporter(watchdog: "200000", look) { reporter, listener, _ in
            reporter.socketAnswers()
            let first = try await notice(to: listener)
            #expect(first == "READY=1\nSTATUS=no disks\nWATCHDOG=1")
            #expect(try await blocking { try listener.next(seconds: 60) } == "WATCHDOG=1")
            // The third look hangs: ten times the period, and not a word.
            #expect(try await blocking { try listener.next(seconds: 2) } == nil)
            let started = ContinuousClock.now
            gate.open()
            for _ in 0..<10 { #expect(try await blocking { try listener.next(seconds: 60) } == "WATCHDOG=1") }
            #expect(ContinuousClock.now - started > .milliseconds(500), "at half of the period, not all the time")
        }
    }

    @Test("a stop that takes long asks for more time")
    func extends() async throws {
        let look: @Sendable () async -> DiskCensus = {
            DiskCensus(total: 1, detaching: 1, isStopping: true, uploadBytes: 5 << 20)
        }
        try await withReporter(watchdog: nil, look) { reporter, listener, _ in
            reporter.socketAnswers()
            let first = try await notice(to: listener)
            #expect(
                first
                    == "READY=1\nSTATUS=stopping: 1 disk still in use, 5.00 MiB to upload\nEXTEND_TIMEOUT_USEC=30000000"
            )
            #expect(try await blocking { try listener.next(seconds: 60) } == "EXTEND_TIMEOUT_USEC=30000000")
        }
    }

    @Test("a manager that is not there stops nobody")
    func alone() async throws {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let supervision = try #require(try read(["NOTIFY_SOCKET": "@vdrive-test-nobody", "WATCHDOG_USEC": "100000"]))
        let looks = Atomic(0)
        let reporter = SystemdReporter(supervision: supervision, logger: quiet) {
            looks.add(1, ordering: .relaxed)
            return DiskCensus()
        }
        let services = ServiceGroup(services: [reporter, StopHerald(of: reporter)], logger: quiet)
        reporter.socketAnswers()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            while looks.load(ordering: .relaxed) < 3 { try await Task.sleep(for: .milliseconds(20)) }
            await services.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

/// What a look waits for.
private final class AsyncGate: Sendable {
    private let stream: AsyncStream<Never>
    private let continuation: AsyncStream<Never>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    func open() { continuation.finish() }
    func wait() async { for await _ in stream {} }
}
