/// What can happen. Later releases may have more; a client skips what it does not know.
package enum EventType: String, Codable, CaseIterable, Sendable {
    case diskAdded = "disk.added"
    case diskRemoved = "disk.removed"
    case diskState = "disk.state"
    case diskWarning = "disk.warning"
    case diskDamaged = "disk.damaged"
    case remoteState = "remote.state"
    case uploadCommit = "upload.commit"
    case cachePressure = "cache.pressure"
    case jobStarted = "job.started"
    case jobProgress = "job.progress"
    case jobEnded = "job.ended"
    case daemonStopping = "daemon.stopping"
}

/// What an event tells, by its type.
package enum EventPayload: Equatable, Sendable {
    case diskAdded(DiskChange)
    case diskRemoved(DiskChange)
    case diskState(DiskChange)
    case diskWarning(WarningChange)
    case diskDamaged(LostObject)
    case remoteState(RemoteChange)
    case uploadCommit(Commit)
    case cachePressure(CachePressure)
    case jobStarted(Job)
    case jobProgress(Job)
    case jobEnded(Job)
    case daemonStopping

    package var type: EventType {
        switch self {
        case .diskAdded: .diskAdded
        case .diskRemoved: .diskRemoved
        case .diskState: .diskState
        case .diskWarning: .diskWarning
        case .diskDamaged: .diskDamaged
        case .remoteState: .remoteState
        case .uploadCommit: .uploadCommit
        case .cachePressure: .cachePressure
        case .jobStarted: .jobStarted
        case .jobProgress: .jobProgress
        case .jobEnded: .jobEnded
        case .daemonStopping: .daemonStopping
        }
    }

    /// A disk's state is another one now.
    package struct DiskChange: Codable, Equatable, Sendable {
        /// For a disk that was removed, its last one.
        package var state: DiskState
        /// Null for a disk that was not there before.
        package var previous: DiskState?
        /// Why, where something is wrong; one sentence.
        package var error: String?

        package init(state: DiskState, previous: DiskState?, error: String?) {
            self.state = state
            self.previous = previous
            self.error = error
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(state, forKey: .state)
            try container.encode(previous, forKey: .previous)
            try container.encode(error, forKey: .error)
        }
    }

    /// A warning begins or is over.
    package struct WarningChange: Codable, Equatable, Sendable {
        /// A word for the kind of trouble; one warning of a kind at a time.
        package var kind: String
        package var isActive: Bool
        /// What is the matter, and what to do about it; null when it is over.
        package var message: String?

        package init(kind: String, isActive: Bool, message: String?) {
            self.kind = kind
            self.isActive = isActive
            self.message = message
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(kind, forKey: .kind)
            try container.encode(isActive, forKey: .isActive)
            try container.encode(message, forKey: .message)
        }
    }

    /// An object of the disk is missing or damaged on the remote.
    package struct LostObject: Codable, Equatable, Sendable {
        package var object: String
        /// How many there are since the attach, with this one.
        package var total: UInt64

        package init(object: String, total: UInt64) {
            self.object = object
            self.total = total
        }
    }

    /// The remote is reached better or worse than before.
    package struct RemoteChange: Codable, Equatable, Sendable {
        /// `online`, `degraded` or `offline`.
        package var state: String
        package var previous: String

        package init(state: String, previous: String) {
            self.state = state
            self.previous = previous
        }
    }

    /// An epoch counts: its commit is on the remote.
    package struct Commit: Codable, Equatable, Sendable {
        package var term: UInt64
        package var epoch: UInt64
        package var chunks: UInt64
        /// Of these chunks, raw.
        package var bytes: UInt64

        package init(term: UInt64, epoch: UInt64, chunks: UInt64, bytes: UInt64) {
            self.term = term
            self.epoch = epoch
            self.chunks = chunks
            self.bytes = bytes
        }
    }

    /// Writers begin to wait, since everything in the cache is dirty; or they no longer do.
    package struct CachePressure: Codable, Equatable, Sendable {
        package var writersWait: Bool

        package init(writersWait: Bool) {
            self.writersWait = writersWait
        }
    }

    private struct Nothing: Codable, Sendable {}

    /// What `data` carries.
    fileprivate var body: any Encodable & Sendable {
        switch self {
        case .diskAdded(let change), .diskRemoved(let change), .diskState(let change): change
        case .diskWarning(let warning): warning
        case .diskDamaged(let object): object
        case .remoteState(let change): change
        case .uploadCommit(let commit): commit
        case .cachePressure(let pressure): pressure
        case .jobStarted(let job), .jobProgress(let job), .jobEnded(let job): job
        case .daemonStopping: Nothing()
        }
    }

    fileprivate init(type: EventType, data: JSONValue) throws {
        switch type {
        case .diskAdded: self = .diskAdded(try data.decode())
        case .diskRemoved: self = .diskRemoved(try data.decode())
        case .diskState: self = .diskState(try data.decode())
        case .diskWarning: self = .diskWarning(try data.decode())
        case .diskDamaged: self = .diskDamaged(try data.decode())
        case .remoteState: self = .remoteState(try data.decode())
        case .uploadCommit: self = .uploadCommit(try data.decode())
        case .cachePressure: self = .cachePressure(try data.decode())
        case .jobStarted: self = .jobStarted(try data.decode())
        case .jobProgress: self = .jobProgress(try data.decode())
        case .jobEnded: self = .jobEnded(try data.decode())
        case .daemonStopping: self = .daemonStopping
        }
    }
}

/// Something that happened, as every subscriber sees it.
package struct Event: Codable, Equatable, Sendable {
    /// Counts all events of one run of the daemon, from 1.
    package var sequence: UInt64
    /// The daemon's run; a restart has another one, and counts anew.
    package var run: String
    /// RFC 3339, in UTC.
    package var time: String
    /// One of `EventType`'s, or one that this client does not know yet.
    package var type: String
    /// Null for what concerns no single disk.
    package var disk: String?
    package var data: JSONValue

    /// - Throws: nothing for the payloads of this module.
    package init(sequence: UInt64, run: String, time: String, disk: String?, _ payload: EventPayload) throws {
        self.sequence = sequence
        self.run = run
        self.time = time
        self.disk = disk
        type = payload.type.rawValue
        data = try JSONValue(encoding: payload.body)
    }

    /// What it tells; nil for a type, or a shape, that this client does not know.
    package var payload: EventPayload? { EventType(rawValue: type).flatMap { try? EventPayload(type: $0, data: data) } }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(sequence, forKey: .sequence)
        try container.encode(run, forKey: .run)
        try container.encode(time, forKey: .time)
        try container.encode(type, forKey: .type)
        try container.encode(disk, forKey: .disk)
        try container.encode(data, forKey: .data)
    }
}
