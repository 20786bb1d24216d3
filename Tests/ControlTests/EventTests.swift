import Testing
import VDriveControl
import VDriveProtocol

/// The queue of events and the hub, without a socket.
@Suite("events")
struct EventTests {
    private func item(_ sequence: UInt64, progressOf job: String? = nil) -> EventItem {
        EventItem(
            sequence: sequence,
            type: job == nil ? .diskState : .jobProgress,
            disk: nil,
            progressOf: job,
            text: "{}"
        )
    }

    /// The value under test, where an expectation can change it.
    private final class Subject {
        private var queue: EventQueue

        init(capacity: Int) { queue = EventQueue(capacity: capacity) }

        var isEmpty: Bool { queue.isEmpty }
        var count: Int { queue.count }
        var lost: LostEvents? { queue.lost }
        func append(_ item: EventItem) { queue.append(item) }
        func lose(_ from: UInt64, to: UInt64, count: UInt64) { queue.lose(from, to: to, count: count) }
        func takeLost() -> LostEvents? { queue.takeLost() }
        func takeFirst() -> EventItem? { queue.takeFirst() }

        func drain() -> [UInt64] {
            var sequences: [UInt64] = []
            while let item = queue.takeFirst() { sequences.append(item.sequence) }
            return sequences
        }
    }

    @Test("a queue keeps the order, and loses the oldest when it is full")
    func overflow() {
        let queue = Subject(capacity: 3)
        #expect(queue.isEmpty && queue.takeFirst() == nil && queue.takeLost() == nil)
        for sequence in 1...3 as ClosedRange<UInt64> { queue.append(item(sequence)) }
        #expect(queue.lost == nil)
        for sequence in 5...6 as ClosedRange<UInt64> { queue.append(item(sequence)) }
        #expect(queue.takeLost() == LostEvents(from: 1, to: 2, count: 2))
        #expect(queue.takeLost() == nil && queue.count == 3)
        #expect(queue.drain() == [3, 5, 6])
        #expect(queue.isEmpty)
        queue.append(item(9))
        #expect(queue.lost == nil && queue.drain() == [9])
    }

    @Test("a job's progress takes the place of what it told before, and nothing is lost by it")
    func coalescing() {
        let queue = Subject(capacity: 3)
        queue.append(item(1, progressOf: "a"))
        queue.append(item(2))
        queue.append(item(3, progressOf: "b"))
        for sequence in 4...50 as ClosedRange<UInt64> {
            queue.append(item(sequence, progressOf: sequence % 2 == 0 ? "a" : "b"))
        }
        #expect(queue.lost == nil)
        #expect(queue.drain() == [2, 49, 50])
    }

    @Test("what is lost before a subscription is one gap with what it loses itself")
    func lostBefore() {
        let queue = Subject(capacity: 1)
        queue.lose(5, to: 9, count: 5)
        #expect(!queue.isEmpty && queue.count == 0)
        queue.append(item(12))
        queue.append(item(13))
        #expect(queue.takeLost() == LostEvents(from: 5, to: 12, count: 6))
    }

    @Test("filters: types, disks, and what concerns no disk")
    func filters() {
        let state = EventItem(sequence: 1, type: .diskState, disk: "a", progressOf: nil, text: "{}")
        let stopping = EventItem(sequence: 2, type: .daemonStopping, disk: nil, progressOf: nil, text: "{}")
        #expect(EventFilter().matches(state) && EventFilter().matches(stopping))
        #expect(EventFilter(types: [.diskState]).matches(state) && !EventFilter(types: [.diskState]).matches(stopping))
        #expect(EventFilter(disks: ["a"]).matches(state) && !EventFilter(disks: ["a"]).matches(stopping))
        #expect(!EventFilter(disks: ["b"]).matches(state))
        #expect(!EventFilter(types: [.jobEnded], disks: ["a"]).matches(state))
    }

    // MARK: The hub

    private func publish(_ hub: EventHub, _ count: Int, disk: String = "a") {
        for _ in 0..<count { hub.publish(.cachePressure(EventPayload.CachePressure(writersWait: true)), disk: disk) }
    }

    /// All that an outlet has, as params.
    private func lines(_ outlet: EventOutlet) async throws -> [(method: String, params: JSONValue)] {
        outlet.close()
        var lines: [(method: String, params: JSONValue)] = []
        while let batch = await outlet.next() {
            for line in batch {
                let notification = try #require(RPCNotification(json: try JSONValue(parsing: line.utf8)))
                lines.append((notification.method, notification.params))
            }
        }
        return lines
    }

    private func sequences(_ lines: [(method: String, params: JSONValue)]) -> [Int64] {
        lines.compactMap { if case .integer(let number)? = $0.params["sequence"] { number } else { nil } }
    }

    @Test("a subscription gets what comes after it, once its client knows its number")
    func news() async throws {
        let hub = EventHub(run: "00000001")
        publish(hub, 3)
        let outlet = EventOutlet(run: hub.run)
        let output = try hub.subscribe(outlet, EventFilter(disks: ["a"]), since: nil, isOtherRun: false)
        #expect(output == EventsSubscribe.Output(subscription: 1, run: "00000001", sequence: 3))
        publish(hub, 2)
        publish(hub, 1, disk: "b")
        let silent = EventOutlet(run: hub.run)
        _ = try hub.subscribe(silent, EventFilter(), since: nil, isOtherRun: false)
        publish(hub, 1)
        #expect(try await lines(silent).isEmpty, "its client does not know its number")
        outlet.release(output.subscription)
        let told = try await lines(outlet)
        #expect(sequences(told) == [4, 5, 7])
        let event: EventNotification = try #require(told.first).params.decode()
        #expect(event.subscription == 1 && event.event.run == "00000001" && event.event.disk == "a")
        #expect(event.event.time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(event.event.time)")
        hub.forget(outlet)
        hub.forget(silent)
        #expect(hub.subscriptionCount == 0)
    }

    @Test(
        "who comes back gets what was missed, and hears of what is forgotten",
        arguments: [
            (since: UInt64(1498), isOtherRun: false, first: 1499, gap: LostEvents?.none), (1500, false, nil, nil),
            (476, false, 477, nil), (475, false, 477, LostEvents(from: 476, to: 476, count: 1)),
            (0, false, 477, LostEvents(from: 1, to: 476, count: 476)),
            // Numbers of another run say nothing here.
            (1498, true, 477, LostEvents(from: 1, to: 476, count: 476)),
            (99_999, false, 477, LostEvents(from: 1, to: 476, count: 476)),
        ]
    )
    func replay(since: UInt64, isOtherRun: Bool, first: Int64?, gap: LostEvents?) async throws {
        #expect(RPCLimits.eventsKept == 1024)
        let hub = EventHub(run: "00000001")
        publish(hub, 1500)
        let outlet = EventOutlet(run: hub.run)
        let output = try hub.subscribe(outlet, EventFilter(), since: since, isOtherRun: isOtherRun)
        outlet.release(output.subscription)
        var told = try await lines(outlet)
        if let gap {
            let lost: EventGap = try told.removeFirst().params.decode()
            #expect(LostEvents(from: lost.from, to: lost.to, count: lost.count) == gap && lost.run == "00000001")
        }
        #expect(sequences(told) == first.map { Array($0...1500) } ?? [])
        #expect(told.allSatisfy { $0.method == "events.event" })
    }

    @Test("the subscriptions of a connection are bounded, and end with it")
    func bounds() throws {
        let hub = EventHub(run: "00000001")
        let outlet = EventOutlet(run: hub.run)
        let other = EventOutlet(run: hub.run)
        for _ in 0..<RPCLimits.subscriptionsMax {
            _ = try hub.subscribe(outlet, EventFilter(), since: nil, isOtherRun: false)
        }
        #expect(throws: RPCError.self) { try hub.subscribe(outlet, EventFilter(), since: nil, isOtherRun: false) }
        #expect(throws: RPCError.self, "another connection's") { try hub.unsubscribe(other, 1) }
        try hub.unsubscribe(outlet, 1)
        #expect(throws: RPCError.self) { try hub.unsubscribe(outlet, 1) }
        _ = try hub.subscribe(outlet, EventFilter(), since: nil, isOtherRun: false)
        #expect(hub.subscriptionCount == RPCLimits.subscriptionsMax)
        hub.forget(outlet)
        #expect(hub.subscriptionCount == 0)
        #expect(throws: RPCError.self) { try hub.subscribe(outlet, EventFilter(), since: nil, isOtherRun: false) }
    }
}
