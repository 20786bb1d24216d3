import VDriveClient

/// What a command prints for people: its own words as they are, and everything put into them made plain.
struct Shown: ExpressibleByStringInterpolation {
    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: String) { text += literal }
        mutating func appendInterpolation(_ value: some CustomStringConvertible) { text += value.description.plain }
        mutating func appendInterpolation(_ shown: Shown) { text += shown.text }
    }

    private(set) var text: String

    init(stringLiteral literal: String) { text = literal }
    init(stringInterpolation: StringInterpolation) { text = stringInterpolation.text }
    init(_ table: Table) { text = table.text }

    /// - Parameter lines: without line breaks at their ends.
    init(lines: [Shown]) { text = lines.map(\.text).joined(separator: "\n") }

    static func + (left: Shown, right: Shown) -> Shown {
        var sum = left
        sum.text += right.text
        return sum
    }

    static func += (left: inout Shown, right: Shown) { left.text += right.text }
}
