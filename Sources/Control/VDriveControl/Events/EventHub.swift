import FoundationEssentials
import Synchronization
package import VDriveProtocol

/// Where all events of the daemon come together, get their numbers, and go out to those who asked for them.
///
/// ## Notes on the design
///
///     publish ──▶ history (a bounded queue) ──▶ one queue a subscription ──▶ its connection's task ──▶ the client
///
/// 1. Publishing never waits, and any thread may do it: whatever is too much gives way, oldest first, and becomes a
///    gap that the client is told of.
/// 2. A number is taken, and the event put into every queue, under one lock: all see the same order.
/// 3. The hub's lock is taken before an outlet's, never the other way round.
package final class EventHub: Sendable {
    private struct State {
        var sequence: UInt64 = 0
        var history = EventQueue(capacity: RPCLimits.eventsKept)
        /// The newest event that the history has lost; 0 for none.
        var forgotten: UInt64 = 0
        var lastSubscription: UInt64 = 0
        var outlets: [UInt64: EventOutlet] = [:]
    }

    /// The daemon's run: eight digits, new with every start.
    package let run: String
    private let state = Mutex(State())

    /// - Parameter run: unique among the runs of this machine.
    package init(run: String) {
        self.run = run
    }

    /// An id for a run of the daemon.
    package static func newRun() -> String {
        let digits = String(UInt32.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// The time of day as events and jobs tell it: RFC 3339, in UTC, with thousandths.
    package static func now() -> String {
        Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    /// Tells everybody who wants to know.
    ///
    /// - Parameter disk: nil for what concerns no single disk.
    package func publish(_ payload: EventPayload, disk: String?) {
        let time = Self.now()
        state.withLock { state in
            let sequence = state.sequence + 1
            guard let item = item(payload, sequence: sequence, time: time, disk: disk) else { return }
            state.sequence = sequence
            state.history.append(item)
            if let lost = state.history.takeLost() { state.forgotten = lost.to }
            for (id, outlet) in state.outlets { outlet.offer(item, to: id) }
        }
    }

    private func item(_ payload: EventPayload, sequence: UInt64, time: String, disk: String?) -> EventItem? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let event = try? Event(sequence: sequence, run: run, time: time, disk: disk, payload),
            let text = try? encoder.encode(event)
        else { return nil }
        var job: String?
        if case .jobProgress(let progress) = payload { job = progress.id }
        return EventItem(
            sequence: sequence,
            type: payload.type,
            disk: disk,
            progressOf: job,
            text: String(decoding: text, as: UTF8.self)
        )
    }

    /// Begins a subscription, which is held until `EventOutlet.release`.
    ///
    /// - Parameters:
    ///   - since: a number of this run, to get what came after it as well; nil for news alone.
    ///   - isOtherRun: whether the number is of another run: then all of this one is news.
    /// - Throws: `busy` when the connection has too many.
    package func subscribe(
        _ outlet: EventOutlet,
        _ filter: EventFilter,
        since: UInt64?,
        isOtherRun: Bool
    ) throws(RPCError) -> EventsSubscribe.Output {
        let result = state.withLock { state -> Result<EventsSubscribe.Output, RPCError> in
            var queue = EventQueue(capacity: RPCLimits.eventsWaitingMax)
            if let since {
                let known = isOtherRun || since > state.sequence ? 0 : since
                if known < state.forgotten {
                    queue.lose(known + 1, to: state.forgotten, count: state.forgotten - known)
                }
                for item in state.history.items(after: known) where filter.matches(item) { queue.append(item) }
            }
            let id = state.lastSubscription + 1
            do throws(RPCError) {
                try outlet.open(id, filter, queue, most: RPCLimits.subscriptionsMax)
            } catch {
                return .failure(error)
            }
            state.lastSubscription = id
            state.outlets[id] = outlet
            return .success(EventsSubscribe.Output(subscription: id, run: run, sequence: state.sequence))
        }
        return try result.get()
    }

    /// Ends a subscription of this connection.
    ///
    /// - Throws: `notFound`.
    package func unsubscribe(_ outlet: EventOutlet, _ id: UInt64) throws(RPCError) {
        let isThere = state.withLock { state in
            guard state.outlets[id] === outlet else { return false }
            state.outlets[id] = nil
            return outlet.end(id)
        }
        guard isThere else { throw RPCError(.notFound, "This connection has no subscription \(id).") }
    }

    /// The connection is at its end.
    package func forget(_ outlet: EventOutlet) {
        state.withLock { state in
            for id in outlet.subscriptions where state.outlets[id] === outlet { state.outlets[id] = nil }
        }
        outlet.close()
    }

    /// How many subscriptions there are.
    package var subscriptionCount: Int { state.withLock { $0.outlets.count } }
}
