import Logging

/// What was done so far, and how to undo it: a sequence that fails half-way runs this list backwards.
struct UndoList: Sendable {
    typealias Step = @Sendable () async throws -> Void

    private var steps: [(name: String, body: Step)] = []

    /// Notes how to undo what was just done.
    mutating func add(_ name: String, _ body: @escaping Step) {
        steps.append((name, body))
    }

    /// Undoes everything, the last first. A step that fails is logged, and those before it are still undone.
    mutating func run(logger: Logger) async {
        while let step = steps.popLast() {
            do {
                try await step.body()
            } catch {
                logger.error("undoing failed", metadata: ["step": "\(step.name)", "error": "\(error)"])
            }
        }
    }
}
