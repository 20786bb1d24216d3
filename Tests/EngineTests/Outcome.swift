import Linux
import Synchronization
import Testing

/// What came of something that might never end: a test of it looks from time to time, and so ends in any case.
final class Outcome: Sendable {
    private let state: Mutex<Result<Void, any Error>?> = Mutex(nil)

    /// Nil while it goes on.
    var result: Result<Void, any Error>? { state.withLock { $0 } }

    init(of body: @escaping @Sendable () async throws -> Void) {
        Task {
            let result: Result<Void, any Error>
            do { result = .success(try await body()) } catch { result = .failure(error) }
            state.withLock { $0 = result }
        }
    }

    /// Waits for the end; that there is none counts as a failure of the test.
    ///
    /// - Throws: what it ended with, or `Endless`.
    func end(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually(sourceLocation: sourceLocation) { result != nil }
        guard let result else { throw Endless() }
        try result.get()
    }

    /// The rest of the test would wait, too.
    struct Endless: Error {}

    /// The errno that it ended with; nil when it went well.
    func errno(sourceLocation: SourceLocation = #_sourceLocation) async throws -> Errno? {
        do {
            try await end(sourceLocation: sourceLocation)
            return nil
        } catch let error as Errno {
            return error
        }
    }
}
