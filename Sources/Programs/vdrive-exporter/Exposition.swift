import VDriveProtocol

/// A page in Prometheus' text format 0.0.4: samples, collected in any order, printed metric by metric.
struct Exposition {
    /// The page's `Content-Type`.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private var lines: [String: [String]] = [:]

    /// - Parameter labels: the values of the metric's labels, in its order.
    mutating func add(_ metric: Metric, _ labels: [String], _ value: some BinaryInteger) {
        add(metric, labels, text: "\(value)")
    }

    mutating func add(_ metric: Metric, _ labels: [String], _ value: Double) {
        add(metric, labels, text: Self.text(value))
    }

    /// One sample for each state: 1 for the one that is, 0 for the others.
    mutating func add(_ metric: Metric, _ labels: [String], state: String, of states: [String]) {
        for each in states { add(metric, labels + [each], each == state ? 1 : 0) }
    }

    /// A histogram with its buckets, sum and count.
    ///
    /// - Parameter bounds: the buckets' upper bounds; the counts within them rise.
    mutating func add(_ metric: Metric, _ labels: [String], _ latency: DiskStats.Latency, bounds: [Double]) {
        precondition(metric.kind == .histogram, "\(metric.name) is no histogram")
        let names = metric.labels + ["le"]
        for (bound, count) in zip(bounds, latency.buckets) {
            append(metric, "_bucket", names, labels + [Self.text(bound)], "\(count)")
        }
        append(metric, "_bucket", names, labels + ["+Inf"], "\(latency.count)")
        append(metric, "_sum", metric.labels, labels, Self.text(latency.sumSeconds))
        append(metric, "_count", metric.labels, labels, "\(latency.count)")
    }

    private mutating func add(_ metric: Metric, _ labels: [String], text: String) {
        precondition(metric.kind != .histogram, "\(metric.name) is a histogram")
        append(metric, "", metric.labels, labels, text)
    }

    private mutating func append(
        _ metric: Metric,
        _ suffix: String,
        _ names: [String],
        _ values: [String],
        _ text: String
    ) {
        precondition(names.count == values.count, "\(metric.name) has the labels \(names)")
        let pairs = zip(names, values).map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }
        let labels = pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}"
        lines[metric.name, default: []].append("\(metric.name)\(suffix)\(labels) \(text)")
    }

    /// The page. Metrics without a sample are left out.
    var text: String {
        var page = ""
        for metric in Metrics.all {
            guard let samples = lines[metric.name] else { continue }
            page += "# HELP \(metric.name) \(Self.escaped(metric.help, quotes: false)).\n"
            page += "# TYPE \(metric.name) \(metric.kind.rawValue)\n"
            for sample in samples { page += "\(sample)\n" }
        }
        return page
    }

    private static func text(_ value: Double) -> String { value == value.rounded() ? "\(Int64(value))" : "\(value)" }

    /// A label's value or a help text as the format wants it; quotes are only escaped in values.
    static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += #"\\"#
            case "\n": escaped += #"\n"#
            case "\"" where quotes: escaped += #"\""#
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
