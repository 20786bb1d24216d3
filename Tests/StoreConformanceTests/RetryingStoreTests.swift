import Logging
import Synchronization
import Testing
import VDriveMeasure
import VDriveModel
import VDriveStore
import VDriveTestKit

/// A clock that jumps to whatever is waited for, and remembers it.
private final class JumpingClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let offset = Mutex(Duration.zero)
    /// Whether a sleep that ends after this stays asleep: the guards of attempts, which must not ring by themselves.
    private let patience: Duration

    init(patience: Duration) { self.patience = patience }

    var now: Instant { Instant(offset: offset.withLock { $0 }) }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        if deadline.offset - now.offset > patience {
            while true { try await Task.sleep(for: .seconds(60)) }
        }
        offset.withLock { $0 = max($0, deadline.offset) }
        await Task.yield()
        try Task.checkCancellation()
    }
}

@Suite("retries", .timeLimit(.minutes(1)))
struct RetryingStoreTests {
    private let name = ObjectName("x")
    private let busy = StoreError(.unavailable, "The server is busy.")

    private func store(
        _ faults: [FaultyStore.Rule],
        deadline: Duration?,
        clock: JumpingClock = JumpingClock(patience: .seconds(400))
    ) async throws -> (store: RetryingStore<JumpingClock>, faulty: FaultyStore, clock: JumpingClock) {
        let memory = MemoryStore()
        try await memory.put(name, bytes(1000))
        let faulty = FaultyStore(memory, rules: faults)
        let store = RetryingStore(
            faulty,
            deadline: deadline,
            budget: RetryBudget(),
            meter: StoreMeter(),
            clock: clock,
            generator: SplitMix(seed: 7),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        return (store, faulty, clock)
    }

    @Test("go on until it works")
    func recovers() async throws {
        let (store, faulty, clock) = try await store([.init(.get, times: 20, .failBefore(busy))], deadline: nil)
        #expect(try await store.get(name, range: nil) == bytes(1000))
        #expect(faulty.calls(of: .get) == 21)
        // 0.1 + 0.2 + … + 3.2, then fourteen times 5 seconds, all of them halved on average.
        #expect(clock.now.offset > .seconds(19))
        #expect(clock.now.offset < .seconds(3.2 * 2 + 14 * 5))
    }

    @Test("never end for uploads, and end at the deadline for reads")
    func deadline() async throws {
        let clock = JumpingClock(patience: .seconds(100))
        let (store, faulty, _) = try await store(
            [.init(.get, .failBefore(busy))],
            deadline: .seconds(300),
            clock: clock
        )
        let error = await storeError { try await store.get(name, range: nil) }
        #expect(error?.kind == .unavailable)
        #expect(clock.now.offset <= .seconds(300))
        #expect(clock.now.offset > .seconds(200))
        #expect(faulty.calls(of: .get) > 10)
    }

    @Test("wait as long as the server asks")
    func retryAfter() async throws {
        var busy = busy
        busy.retryAfterSeconds = 30
        let (store, _, clock) = try await store([.init(.put, times: 2, .failBefore(busy))], deadline: nil)
        try await store.put(name, [])
        #expect(clock.now.offset >= .seconds(60))
        #expect(clock.now.offset < .seconds(61))
    }

    @Test(
        "are not made when nothing would change",
        arguments: [StoreError.Kind.notFound, .unauthorized, .forbidden, .full, .unsupported, .uncertain, .invalid]
    )
    func permanent(_ kind: StoreError.Kind) async throws {
        let (store, faulty, _) = try await store([.init(nil, .failBefore(StoreError(kind, "No.")))], deadline: nil)
        #expect(await storeError { try await store.put(name, []) }?.kind == kind)
        #expect(faulty.calls(of: .put) == 1)
    }

    @Test("end after a few corrupt bodies")
    func corrupt() async throws {
        let corrupt = StoreError(.corrupt, "Too short.")
        let (store, faulty, _) = try await store([.init(.get, .failBefore(corrupt))], deadline: nil)
        #expect(await storeError { try await store.get(name, range: nil) }?.kind == .corrupt)
        #expect(faulty.calls(of: .get) == 4)
    }

    @Test("are made of a claim only when it was surely not won")
    func claim() async throws {
        let uncertain = StoreError(.uncertain, "Lost.")
        let (first, faulty, _) = try await store([.init(.claim, .appliedThenError(uncertain))], deadline: nil)
        #expect(await storeError { try await first.claim(ObjectName("t"), with: .makeFolder) }?.kind == .uncertain)
        #expect(faulty.calls(of: .claim) == 1)
        let (second, _, _) = try await store([.init(.claim, times: 3, .failBefore(busy))], deadline: nil)
        #expect(try await second.claim(ObjectName("t"), with: .makeFolder))
    }

    @Test("end with the caller's task")
    func cancellation() async throws {
        let (store, faulty, _) = try await store(
            [.init(.get, .failBefore(busy))],
            deadline: nil,
            clock: JumpingClock(patience: .zero)
        )
        let name = name
        let task = Task { try await store.get(name, range: nil) }
        while faulty.calls(of: .get) == 0 { await Task.yield() }
        task.cancel()
        #expect(await storeError { try await task.value }?.kind == .unavailable)
        #expect(faulty.calls(of: .get) == 1)
    }

    @Test("cut off an attempt that hangs")
    func hang() async throws {
        let memory = MemoryStore()
        let store = RetryingStore(
            FaultyStore(memory, rules: [.init(.get, .hang)]),
            deadline: .milliseconds(200),
            budget: RetryBudget(),
            meter: StoreMeter(),
            clock: ContinuousClock(),
            generator: SplitMix(seed: 7),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let start = ContinuousClock.now
        #expect(await storeError { try await store.get(name, range: nil) }?.kind == .unavailable)
        #expect(start.duration(to: .now) < .seconds(20))
    }

    @Test("share a budget")
    func budget() async throws {
        let (store, _, clock) = try await store([.init(.get, times: 400, .failBefore(busy))], deadline: nil)
        let name = name
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<200 { group.addTask { _ = try? await store.get(name, range: nil) } }
        }
        // 400 retries less the burst of 64, at 8 a second.
        #expect(clock.now.offset > .seconds(20))
    }

    @Test("leave their mark on the meter")
    func meter() async throws {
        let meter = StoreMeter()
        let faulty = FaultyStore(MemoryStore())
        let store = MeteredStore(faulty, meter: meter)
        #expect(meter.snapshot().state == .online)
        let told = Mutex<[[StoreMeter.State]]>([])
        meter.observe { state, previous in told.withLock { $0.append([previous, state]) } }
        try await store.put(name, bytes(1000))
        _ = try await store.get(name, range: 0..<100)
        #expect(await storeError { try await store.get(ObjectName("no"), range: nil) }?.kind == .notFound)
        #expect(meter.snapshot().state == .online)
        faulty.add(.init(nil, times: 3, .failBefore(busy)))
        for _ in 0..<3 { try? await store.delete(name) }
        #expect(meter.snapshot().state == .offline)
        try await store.delete(name)
        let after = meter.snapshot()
        #expect(after.state == .degraded)
        #expect(after.requests == 7)
        #expect(after.errors == 3)
        #expect(after.bytesOut == 1000)
        #expect(after.bytesIn == 100)
        #expect(after.lastError == busy.message)
        #expect(after.operations[.get]?.requests == 2 && after.operations[.get]?.failures == 0)
        #expect(after.operations[.put]?.requests == 1 && after.operations[.list]?.requests == 0)
        #expect(after.operations[.delete]?.requests == 4 && after.operations[.delete]?.failures == 3)
        #expect(meter.get.summary().count == 2 && meter.put.summary().count == 1)
        #expect(meter.other.summary().count == 4)
        #expect(told.withLock { $0 } == [[.online, .degraded], [.degraded, .offline], [.offline, .degraded]])
        // The same state is not told again.
        try await store.delete(name)
        meter.tellChange()
        #expect(told.withLock { $0.count } == 3)
    }

    @Test("are counted by the meter, each once")
    func counted() async throws {
        let meter = StoreMeter()
        let memory = MemoryStore()
        try await memory.put(name, bytes(1000))
        let store = RetryingStore(
            MeteredStore(FaultyStore(memory, rules: [.init(.get, times: 5, .failBefore(busy))]), meter: meter),
            deadline: nil,
            budget: RetryBudget(),
            meter: meter,
            clock: JumpingClock(patience: .seconds(400)),
            generator: SplitMix(seed: 7),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        _ = try await store.get(name, range: nil)
        #expect(meter.snapshot().retries == 5)
        #expect(meter.snapshot().operations[.get]?.requests == 6)
        #expect(meter.snapshot().operations[.get]?.failures == 5)
    }
}
