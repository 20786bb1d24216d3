import Synchronization
import VDriveProtocol

/// The way out for the events of one connection: a queue for each of its subscriptions, and one task that empties them.
///
/// Events are offered from any thread and never wait. When the client does not read, the queues fill, and their oldest
/// events become gaps; a connection whose client reads nothing is ended by its own patience.
package final class EventOutlet: Sendable {
    /// Lines that are written at once: few enough for a slow client's buffer, enough for one write to be worth it.
    private static let linesMax = 64

    private struct Subscription {
        let filter: EventFilter
        var queue: EventQueue
        /// Its client does not know its number yet.
        var isHeld = true
    }

    private struct State {
        var subscriptions: [UInt64: Subscription] = [:]
        var sleeper: CheckedContinuation<Void, Never>?
        var isClosed = false
    }

    private enum Turn {
        case lines([String])
        case wait
        case end
    }

    private let run: String
    private let state = Mutex(State())

    /// - Parameter run: the daemon's, as gaps tell it.
    package init(run: String) {
        self.run = run
    }

    /// - Parameters:
    ///   - queue: with what the client has missed.
    ///   - most: subscriptions of this connection.
    /// - Throws: `busy` when there are so many already; `refused` when the connection is at its end.
    func open(_ id: UInt64, _ filter: EventFilter, _ queue: EventQueue, most: Int) throws(RPCError) {
        let trouble = state.withLock { state -> RPCError? in
            if state.isClosed { return RPCError(.refused, "The connection is at its end; open another one.") }
            guard state.subscriptions.count < most else {
                return RPCError(
                    .busy,
                    "This connection has \(most) subscriptions, the most there may be; end one, or open another "
                        + "connection."
                )
            }
            state.subscriptions[id] = Subscription(filter: filter, queue: queue)
            return nil
        }
        if let trouble { throw trouble }
    }

    /// The client has been told the subscription's number: from now on its events go out.
    package func release(_ id: UInt64) {
        wake { $0.subscriptions[id]?.isHeld = false }
    }

    /// - Returns: whether there was such a subscription.
    func end(_ id: UInt64) -> Bool { state.withLock { $0.subscriptions.removeValue(forKey: id) != nil } }

    func offer(_ item: EventItem, to id: UInt64) {
        wake { state in
            guard state.subscriptions[id]?.filter.matches(item) == true else { return }
            state.subscriptions[id]?.queue.append(item)
        }
    }

    /// The numbers of all subscriptions.
    var subscriptions: [UInt64] { state.withLock { Array($0.subscriptions.keys) } }

    /// No more events come in; those that are here still go out.
    package func close() {
        wake { $0.isClosed = true }
    }

    private func wake(_ change: (inout State) -> Void) {
        let sleeper = state.withLock { state in
            change(&state)
            let sleeper = state.sleeper
            state.sleeper = nil
            return sleeper
        }
        sleeper?.resume()
    }

    /// Waits for events. Only one task of the connection calls this.
    ///
    /// - Returns: notifications, one line each without its newline; nil once the outlet is closed and empty.
    package func next() async -> [String]? {
        while true {
            switch state.withLock({ takeTurn(&$0) }) {
            case .lines(let lines): return lines
            case .end: return nil
            case .wait: await sleep()
            }
        }
    }

    private func takeTurn(_ state: inout State) -> Turn {
        var lines: [String] = []
        for id in state.subscriptions.keys.sorted() where state.subscriptions[id]?.isHeld == false {
            if let lost = state.subscriptions[id]?.queue.takeLost() { lines.append(line(lost, id)) }
            while lines.count < Self.linesMax, let item = state.subscriptions[id]?.queue.takeFirst() {
                lines.append(Self.line(item, id))
            }
        }
        if !lines.isEmpty { return .lines(lines) }
        return state.isClosed ? .end : .wait
    }

    private func sleep() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mayGoOn = state.withLock { state -> Bool in
                    let hasNews = state.subscriptions.values.contains { !$0.isHeld && !$0.queue.isEmpty }
                    if hasNews || state.isClosed { return true }
                    state.sleeper = continuation
                    return false
                }
                if mayGoOn { continuation.resume() }
            }
        } onCancel: {
            close()
        }
    }

    // The event's text is JSON already: no need to take it apart and put it together again.
    private static func line(_ item: EventItem, _ id: UInt64) -> String {
        #"{"jsonrpc":"2.0","method":"\#(NotificationName.event.rawValue)","params":"#
            + #"{"subscription":\#(id),\#(item.text.dropFirst())}"#
    }

    private func line(_ lost: LostEvents, _ id: UInt64) -> String {
        let fields: [String: JSONValue] = [
            "subscription": .integer(Int64(id)), "run": .string(run), "from": .integer(Int64(lost.from)),
            "to": .integer(Int64(lost.to)), "count": .integer(Int64(lost.count)),
        ]
        return RPCNotification(method: NotificationName.gap.rawValue, params: .object(fields)).line
    }
}
