/// The names of all methods. `Protocol/openrpc.json` describes each; tests hold the two together.
package enum MethodName: String, CaseIterable, Sendable {
    case rpcDiscover = "rpc.discover"
    case daemonVersion = "daemon.version"
    case daemonHealth = "daemon.health"
    case daemonConfig = "daemon.config"
    case diskCreate = "disk.create"
    case diskImport = "disk.import"
    case diskConfigure = "disk.configure"
    case diskList = "disk.list"
    case diskStatus = "disk.status"
    case diskAttach = "disk.attach"
    case diskDetach = "disk.detach"
    case diskSync = "disk.sync"
    case diskDestroy = "disk.destroy"
    case cacheList = "cache.list"
    case cachePrefetch = "cache.prefetch"
    case cacheEvict = "cache.evict"
    case cachePin = "cache.pin"
    case cacheUnpin = "cache.unpin"
    case cachePins = "cache.pins"
    case cacheLimits = "cache.limits"
    case uploadQueue = "upload.queue"
    case uploadPause = "upload.pause"
    case uploadResume = "upload.resume"
    case statsGet = "stats.get"
    case eventsSubscribe = "events.subscribe"
    case eventsUnsubscribe = "events.unsubscribe"
    case jobsList = "jobs.list"
    case jobsWatch = "jobs.watch"
    case jobsCancel = "jobs.cancel"
    case jobsStart = "jobs.start"
}

/// One method: its name, what it takes and what it gives. Server and client are typed by the same conformance.
package protocol RPCMethod: Sendable {
    associatedtype Parameters: RPCParameters
    associatedtype Output: Codable & Sendable

    static var name: MethodName { get }
}

/// The parameters of a method: an object whose keys are all known.
package protocol RPCParameters: Codable, Sendable {
    /// Every key that the object may have; any other one is refused, so that a misspelt option is never ignored.
    static var keys: Set<String> { get }
}

extension RPCParameters {
    /// Decodes parameters strictly.
    ///
    /// - Parameter json: an object, or nil for a call without parameters.
    /// - Throws: `invalidParams` with the field at fault.
    package init(strictly json: JSONValue?) throws(RPCError) {
        let json = json ?? .object([:])
        guard case .object(let fields) = json else {
            throw RPCError(.invalidParams, "The parameters must be an object with named fields.")
        }
        if let unknown = fields.keys.filter({ !Self.keys.contains($0) }).min() {
            let known = Self.keys.sorted().joined(separator: ", ")
            let hint = known.isEmpty ? "the method takes none" : "known are \(known)"
            throw RPCError(.invalidParams, "There is no parameter \(JSONValue.string(unknown).text); \(hint).")
        }
        do {
            self = try json.decode()
        } catch let error as DecodingError {
            throw RPCError(.invalidParams, error.sentence)
        } catch let error as RPCError {
            throw error
        } catch {
            throw RPCError(.invalidParams, "The parameters are not understood.")
        }
    }
}

/// The parameters of a method that has none.
package struct NoParameters: RPCParameters, Equatable {
    package static let keys: Set<String> = []
    package init() {}
}

extension DecodingError {
    /// The error as one sentence for people, without the types' internals.
    var sentence: String {
        switch self {
        case .keyNotFound(let key, _): "The parameter \(key.stringValue) is missing."
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "The parameter \(Self.path(context)) has the wrong type."
        case .dataCorrupted(let context): "The parameter \(Self.path(context)) has a value that is not allowed."
        @unknown default: "The parameters are not understood."
        }
    }

    private static func path(_ context: Context) -> String {
        context.codingPath.isEmpty ? "object" : context.codingPath.map(\.stringValue).joined(separator: ".")
    }
}
