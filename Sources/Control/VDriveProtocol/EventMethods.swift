/// The notifications that the daemon sends on a connection with subscriptions.
package enum NotificationName: String, CaseIterable, Sendable {
    /// `subscription` and the fields of an `Event`.
    case event = "events.event"
    /// An `EventGap`.
    case gap = "events.gap"
}

/// `events.subscribe`: from now on this connection is told what happens, until it ends or unsubscribes.
package enum EventsSubscribe: RPCMethod {
    package static let name = MethodName.eventsSubscribe

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case types, disks, since, run
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        /// Only these; all when left out.
        package var types: [EventType]?
        /// Only what concerns these disks, which need not exist yet; all events when left out, also those of no disk.
        package var disks: [String]?
        /// Also what came after the event with this number, as far as the daemon still has it.
        package var since: UInt64?
        /// The run that `since` counts in; in another one, everything is new.
        package var run: String?

        package init(
            types: [EventType]? = nil,
            disks: [String]? = nil,
            since: UInt64? = nil,
            run: String? = nil
        ) {
            self.types = types
            self.disks = disks
            self.since = since
            self.run = run
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var subscription: UInt64
        package var run: String
        /// The number of the last event before the subscription; 0 when there was none.
        package var sequence: UInt64

        package init(subscription: UInt64, run: String, sequence: UInt64) {
            self.subscription = subscription
            self.run = run
            self.sequence = sequence
        }
    }
}

/// `events.unsubscribe`: ends a subscription of this connection. What is on its way may still arrive.
package enum EventsUnsubscribe: RPCMethod {
    package static let name = MethodName.eventsUnsubscribe

    package struct Parameters: RPCParameters, Equatable {
        package static let keys: Set<String> = ["subscription"]

        package var subscription: UInt64

        package init(subscription: UInt64) {
            self.subscription = subscription
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var subscription: UInt64

        package init(subscription: UInt64) {
            self.subscription = subscription
        }
    }
}

/// What `events.event` carries.
package struct EventNotification: Decodable, Equatable, Sendable {
    package var subscription: UInt64
    package var event: Event

    private enum CodingKeys: String, CodingKey {
        case subscription
    }

    package init(from decoder: any Decoder) throws {
        subscription = try decoder.container(keyedBy: CodingKeys.self).decode(UInt64.self, forKey: .subscription)
        event = try Event(from: decoder)
    }
}

/// What `events.gap` carries: events that this subscription will not get, because its client read too slowly, or
/// because they were forgotten before it subscribed.
package struct EventGap: Codable, Equatable, Sendable {
    package var subscription: UInt64
    package var run: String
    /// The numbers of the first and the last of them.
    package var from: UInt64
    package var to: UInt64
    /// How many there are at the most.
    package var count: UInt64

    package init(subscription: UInt64, run: String, from: UInt64, to: UInt64, count: UInt64) {
        self.subscription = subscription
        self.run = run
        self.from = from
        self.to = to
        self.count = count
    }
}
