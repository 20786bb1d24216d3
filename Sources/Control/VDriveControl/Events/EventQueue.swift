import DequeModule
package import VDriveProtocol

/// An event as the daemon keeps it: its text is made once, however many get it.
package struct EventItem: Equatable, Sendable {
    package let sequence: UInt64
    package let type: EventType
    package let disk: String?
    /// The job whose progress it tells: a later one says all that this one does.
    package let progressOf: String?
    /// An `Event`, as one line of JSON.
    package let text: String

    package init(sequence: UInt64, type: EventType, disk: String?, progressOf: String?, text: String) {
        self.sequence = sequence
        self.type = type
        self.disk = disk
        self.progressOf = progressOf
        self.text = text
    }
}

/// What a subscription wants to hear of.
package struct EventFilter: Equatable, Sendable {
    /// Nil: all.
    package var types: Set<EventType>?
    /// Nil: all, also what concerns no disk.
    package var disks: Set<String>?

    package init(types: Set<EventType>? = nil, disks: Set<String>? = nil) {
        self.types = types
        self.disks = disks
    }

    package func matches(_ item: EventItem) -> Bool {
        guard types?.contains(item.type) ?? true else { return false }
        guard let disks else { return true }
        return item.disk.map(disks.contains) ?? false
    }
}

/// Events that are lost: their numbers, and how many there are at the most.
package struct LostEvents: Equatable, Sendable {
    package var from: UInt64
    package var to: UInt64
    package var count: UInt64

    package init(from: UInt64, to: UInt64, count: UInt64) {
        self.from = from
        self.to = to
        self.count = count
    }
}

/// Events in order, at most so many: the oldest give way, and are remembered as lost. A job's progress replaces what
/// it told before, which loses nothing.
package struct EventQueue: Sendable {
    private let capacity: Int
    private var items: Deque<EventItem> = []
    /// What gave way, always older than all that is here.
    package private(set) var lost: LostEvents?

    package init(capacity: Int) {
        precondition(capacity > 0, "a queue without room")
        self.capacity = capacity
    }

    package var count: Int { items.count }
    package var isEmpty: Bool { items.isEmpty && lost == nil }

    package mutating func append(_ item: EventItem) {
        if let job = item.progressOf, let older = items.lastIndex(where: { $0.progressOf == job }) {
            items.remove(at: older)
        } else if items.count == capacity {
            lose(items.removeFirst().sequence, count: 1)
        }
        items.append(item)
    }

    /// Notes events before all that is here as lost.
    package mutating func lose(_ from: UInt64, to: UInt64? = nil, count: UInt64) {
        let to = to ?? from
        lost = LostEvents(from: lost?.from ?? from, to: max(lost?.to ?? to, to), count: (lost?.count ?? 0) + count)
    }

    /// All after a number, in order.
    package func items(after sequence: UInt64) -> some Sequence<EventItem> {
        items.lazy.filter { $0.sequence > sequence }
    }

    /// Takes what is lost, which comes first; nil when nothing is.
    package mutating func takeLost() -> LostEvents? {
        defer { lost = nil }
        return lost
    }

    /// Takes the oldest event.
    package mutating func takeFirst() -> EventItem? { items.popFirst() }
}
