internal import Logging
internal import VDriveFormat
internal import VDriveModel
internal import VDriveStore

/// Why an object could not be used.
enum ObjectTrouble: Error {
    /// The remote does not answer, or refuses; the store has tried for as long as it may.
    case remote(StoreError)
    case missing
    /// What came is not what was written.
    case damaged(String)

    init(_ error: StoreError) {
        switch error.kind {
        case .notFound: self = .missing
        // The store has asked several times for an answer that is whole.
        case .corrupt: self = .damaged(error.message)
        default: self = .remote(error)
        }
    }

    /// One sentence, of an object that is lost.
    var reason: String {
        switch self {
        case .remote(let error): error.message
        case .missing: "It is missing on the remote."
        case .damaged(let reason): reason
        }
    }
}

/// Whether an object is asked for once more: a bit that flipped on the way is not the object's, and some servers answer
/// "not found" for a moment. A value without clock or I/O.
struct SecondLook {
    private var looks = 0

    /// Counts a look that failed.
    ///
    /// - Returns: how long to wait before the next one; nil when the trouble is the remote's own.
    mutating func pause(after trouble: ObjectTrouble) -> Duration? {
        looks += 1
        let most =
            switch trouble {
            case .remote: 1
            case .missing: EngineLimits.looksAtMissing
            case .damaged: EngineLimits.looksAtDamaged
            }
        guard looks < most else { return nil }
        // Jittered, so that readers of one chunk do not come back together.
        return .milliseconds(Int.random(in: 50...150) * looks)
    }
}

extension ObjectStore {
    /// Reads a whole object and decodes it, looking again at one that is missing or damaged.
    func getDecoded<Value>(
        _ name: ObjectName,
        logger: Logger?,
        _ decode: ([UInt8]) throws(FormatError) -> Value
    ) async throws(ObjectTrouble) -> Value {
        var look = SecondLook()
        while true {
            let trouble: ObjectTrouble
            do throws(StoreError) {
                let bytes = try await get(name, range: nil)
                do throws(FormatError) { return try decode(bytes) } catch { trouble = .damaged(error.description) }
            } catch {
                trouble = ObjectTrouble(error)
            }
            guard let pause = look.pause(after: trouble) else { throw trouble }
            logger?.notice(
                "asking for an object again",
                metadata: ["object": "\(name)", "reason": "\(trouble.reason)"]
            )
            do { try await Task.sleep(for: pause) } catch { throw trouble }
        }
    }
}

extension DiskError {
    init(_ trouble: ObjectTrouble, with name: ObjectName) {
        switch trouble {
        case .remote(let error): self.init(error)
        case .missing: self.init(.notFound, "The object \(name) is missing on the remote.")
        case .damaged(let reason): self.init(.corrupt, "The object \(name) cannot be used: \(reason)")
        }
    }
}
