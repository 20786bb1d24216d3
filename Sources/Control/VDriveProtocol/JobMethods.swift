/// A method that may take long: each call of it is a job, and `jobs.start` starts it without waiting for its end.
package protocol LongMethod: RPCMethod {
    /// The disk that a call is about.
    static func disk(of parameters: Parameters) -> String?
}

/// Parameters that name the disk they are about.
package protocol DiskParameters: RPCParameters {
    var name: String { get }
}

extension LongMethod where Parameters: DiskParameters {
    package static func disk(of parameters: Parameters) -> String? { parameters.name }
}

extension DiskNameParameters: DiskParameters {}
extension DiskCreate.Parameters: DiskParameters {}
extension DiskImport.Parameters: DiskParameters {}
extension DiskAttach.Parameters: DiskParameters {}
extension DiskDestroy.Parameters: DiskParameters {}

extension DiskCreate: LongMethod {}
extension DiskImport: LongMethod {}
extension DiskAttach: LongMethod {}
extension DiskDetach: LongMethod {}
extension DiskSync: LongMethod {}
extension DiskDestroy: LongMethod {}

/// One call of a long method, while it runs and for some time after.
package struct Job: Codable, Equatable, Sendable {
    /// Unique over all runs of the daemon.
    package var id: String
    /// The method's name.
    package var kind: String
    package var disk: String?
    package var state: JobState
    /// Grows with every change that is announced.
    package var revision: UInt64
    /// RFC 3339, in UTC.
    package var startedAt: String
    package var endedAt: String?
    package var progress: JobProgress
    /// The error object that the call was, or would have been, answered with.
    package var error: JSONValue?
    /// The method's result. `jobs.list` leaves it out, as null.
    package var result: JSONValue?

    /// A job that begins.
    package init(id: String, kind: String, disk: String?, startedAt: String) {
        self.id = id
        self.kind = kind
        self.disk = disk
        self.startedAt = startedAt
        state = .running
        revision = 1
        progress = JobProgress()
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(kind, forKey: .kind)
        try container.encode(disk, forKey: .disk)
        try container.encode(state, forKey: .state)
        try container.encode(revision, forKey: .revision)
        try container.encode(startedAt, forKey: .startedAt)
        // `encode` and not `encodeIfPresent`: a field without a value is null, never absent.
        try container.encode(endedAt, forKey: .endedAt)
        try container.encode(progress, forKey: .progress)
        try container.encode(error, forKey: .error)
        try container.encode(result, forKey: .result)
    }
}

package enum JobState: String, Codable, CaseIterable, Sendable {
    case running, succeeded, failed, cancelled
}

package enum JobUnit: String, Codable, CaseIterable, Sendable {
    case bytes, chunks, files, objects
}

/// How far a job has come.
package struct JobProgress: Codable, Equatable, Sendable {
    /// What is being done, in a few words; null when there is nothing to say.
    package var phase: String?
    package var done: UInt64 = 0
    /// Null when nobody knows. It may grow: what is written meanwhile is uploaded too.
    package var total: UInt64?
    /// What `done` and `total` count; null for a job that counts nothing.
    package var unit: JobUnit?
    /// Units per second over the last seconds; null until it can be told.
    package var ratePerSecond: Double?
    /// What is left at this rate; null when that cannot be told.
    package var etaSeconds: Double?

    package init() {}

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(phase, forKey: .phase)
        try container.encode(done, forKey: .done)
        try container.encode(total, forKey: .total)
        try container.encode(unit, forKey: .unit)
        try container.encode(ratePerSecond, forKey: .ratePerSecond)
        try container.encode(etaSeconds, forKey: .etaSeconds)
    }
}

/// `jobs.list`: what runs, and what has ended lately, the oldest first.
package enum JobsList: RPCMethod {
    package typealias Parameters = NoParameters
    package static let name = MethodName.jobsList

    package struct Output: Codable, Equatable, Sendable {
        package var jobs: [Job]

        package init(jobs: [Job]) {
            self.jobs = jobs
        }
    }
}

/// `jobs.watch`: answers when there is news of a job.
package enum JobsWatch: RPCMethod {
    package typealias Output = Job
    package static let name = MethodName.jobsWatch

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case id, afterRevision
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var id: String
        /// Wait until the job's revision is beyond this one, or it has ended; at once when left out.
        package var afterRevision: UInt64?

        package init(id: String, afterRevision: UInt64? = nil) {
            self.id = id
            self.afterRevision = afterRevision
        }
    }
}

/// `jobs.cancel`: asks a job to end early, where that is safe.
package enum JobsCancel: RPCMethod {
    package typealias Output = Job
    package static let name = MethodName.jobsCancel

    package struct Parameters: RPCParameters, Equatable {
        package static let keys: Set<String> = ["id"]

        package var id: String

        package init(id: String) {
            self.id = id
        }
    }
}

/// `jobs.start`: starts a long method, and answers at once.
package enum JobsStart: RPCMethod {
    package typealias Output = Job
    package static let name = MethodName.jobsStart

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case method, params
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var method: String
        /// The method's own parameters, an object.
        package var params: JSONValue

        package init(method: String, params: JSONValue) {
            self.method = method
            self.params = params
        }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            method = try container.decode(String.self, forKey: .method)
            params = try container.decode(JSONValue.self, forKey: .params)
            guard case .object = params else {
                throw DecodingError.typeMismatch(
                    JSONValue.self,
                    DecodingError.Context(
                        codingPath: [CodingKeys.params],
                        debugDescription: "the parameters are no object"
                    )
                )
            }
        }
    }
}
