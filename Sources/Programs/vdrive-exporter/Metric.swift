/// One metric: what Prometheus is told of it, and what people may rely on.
struct Metric: Sendable {
    enum Kind: String, Sendable {
        case gauge, counter, histogram
    }

    enum Unit: String, Sendable {
        case none = "-"
        case bytes, seconds
    }

    enum Stability: String, Sendable {
        /// Name, labels and meaning stay.
        case stable
        /// May change with any release; the changelog says so.
        case experimental
    }

    let name: String
    let kind: Kind
    let unit: Unit
    /// In the order in which they are printed; `le` of a histogram is not among them.
    let labels: [String]
    let stability: Stability
    /// One sentence, without its full stop.
    let help: String

    init(
        _ name: String,
        _ kind: Kind,
        _ unit: Unit = .none,
        labels: [String] = [],
        stability: Stability = .stable,
        help: String
    ) {
        self.name = name
        self.kind = kind
        self.unit = unit
        self.labels = labels
        self.stability = stability
        self.help = help
    }

    /// The metric's row in `Protocol/metrics.md`.
    var row: String {
        let labels = labels.map { "`\($0)`" }.joined(separator: " ")
        let cells = [
            "`\(name)`", kind.rawValue, unit.rawValue, labels.isEmpty ? "-" : labels, stability.rawValue, help,
        ]
        return "| \(cells.joined(separator: " | ")) |"
    }
}
