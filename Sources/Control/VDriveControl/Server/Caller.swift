import Synchronization
import VDriveProtocol

/// Who makes a call: what a method may know of the connection that the call came over.
package final class Caller: Sendable {
    private let outlet: EventOutlet
    private let hub: EventHub
    /// Subscriptions that the calls of this line made.
    private let made = Mutex<[UInt64]>([])

    init(outlet: EventOutlet, hub: EventHub) {
        self.outlet = outlet
        self.hub = hub
    }

    /// Begins a subscription whose events go out after the answer.
    ///
    /// - Throws: `busy` when the connection has too many.
    func subscribe(_ params: EventsSubscribe.Parameters) throws(RPCError) -> EventsSubscribe.Output {
        let output = try hub.subscribe(
            outlet,
            EventFilter(types: params.types.map(Set.init), disks: params.disks.map(Set.init)),
            since: params.since,
            isOtherRun: params.run.map { $0 != hub.run } ?? false
        )
        made.withLock { $0.append(output.subscription) }
        return output
    }

    /// - Throws: `notFound`.
    func unsubscribe(_ id: UInt64) throws(RPCError) { try hub.unsubscribe(outlet, id) }

    /// The line's answer is on its way, or there is none.
    func isAnswered() {
        let made = made.withLock { made in
            defer { made = [] }
            return made
        }
        for id in made { outlet.release(id) }
    }
}
