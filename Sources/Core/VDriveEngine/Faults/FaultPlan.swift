/// What is to go wrong, and when: the parsed form of `VDRIVE_FAULTS`. A value, without effects.
///
///     specification = entry *( "," entry )
///     entry         = point "=" action [ "@" n ] [ "*" k ]   |   rule "=broken"
///     action        = "crash" | "stop" | "fail" | "delay:" milliseconds
///
/// An action holds from the n-th time on that its point is passed, counted from 1, for k times. Left out, n is 1, and k
/// is 1 for `crash` and `stop`, without end for `fail`, and for `delay` without end too, or 1 after an `@`.
package struct FaultPlan: Sendable, Equatable {
    package enum Action: Sendable, Equatable, CustomStringConvertible {
        /// SIGKILL to the own process.
        case crash
        /// SIGSTOP to the own process, which goes on when somebody continues it.
        case stop
        /// The step fails with an I/O error.
        case fail
        case delay(milliseconds: Int)

        package var description: String {
            switch self {
            case .crash: "crash"
            case .stop: "stop"
            case .fail: "fail"
            case .delay(let milliseconds): "delay:\(milliseconds)"
            }
        }
    }

    private struct Entry: Sendable, Equatable {
        var action: Action
        var times: Range<Int>
    }

    private var entries: [FaultPoint: [Entry]] = [:]
    private var passed: [FaultPoint: Int] = [:]
    package private(set) var brokenRules: Set<OrderingRule> = []

    /// - Throws: a sentence about the first entry that is none.
    package init(_ specification: String) throws(FaultSpecError) {
        for text in specification.split(separator: ",", omittingEmptySubsequences: false) {
            let entry = text.drop { $0 == " " }
            guard let equals = entry.firstIndex(of: "=") else {
                throw FaultSpecError("«\(entry)» is not of the form point=action or rule=broken.")
            }
            let name = String(entry[..<equals])
            let value = entry[entry.index(after: equals)...]
            if let rule = OrderingRule(rawValue: name) {
                guard value == "broken" else { throw FaultSpecError("\(name) can only be «broken», not «\(value)».") }
                brokenRules.insert(rule)
            } else if let point = FaultPoint(rawValue: name) {
                let parsed = try Self.entry(value)
                guard parsed.action != .fail || point.canFail else {
                    throw FaultSpecError("Nothing can fail at \(name).")
                }
                entries[point, default: []].append(parsed)
            } else {
                throw FaultSpecError("There is no fault point and no ordering rule «\(name)».")
            }
        }
    }

    private static func entry(_ text: Substring) throws(FaultSpecError) -> Entry {
        var name = text
        var count: Int?
        var first: Int?
        if let star = name.firstIndex(of: "*") {
            count = try number(name[name.index(after: star)...], in: text)
            name = name[..<star]
        }
        if let at = name.firstIndex(of: "@") {
            first = try number(name[name.index(after: at)...], in: text)
            name = name[..<at]
        }
        let action: Action
        var standard: Int?
        switch name {
        case "crash": (action, standard) = (.crash, 1)
        case "stop": (action, standard) = (.stop, 1)
        case "fail": action = .fail
        case _ where name.hasPrefix("delay:"):
            action = .delay(milliseconds: try number(name.dropFirst(6), in: text))
            standard = first == nil ? nil : 1
        default: throw FaultSpecError("«\(text)» is no action: crash, stop, fail or delay:MILLISECONDS.")
        }
        let start = first ?? 1
        let end = (count ?? standard).map { start + $0 } ?? .max
        return Entry(action: action, times: start..<end)
    }

    /// Bounded, so that no sum of two can overflow.
    private static func number(_ text: Substring, in entry: Substring) throws(FaultSpecError) -> Int {
        guard let number = Int(text), (1...1_000_000_000).contains(number) else {
            throw FaultSpecError("«\(entry)»: «\(text)» is not a number from 1 to 1000000000.")
        }
        return number
    }

    /// Counts one passage of a point.
    ///
    /// - Returns: what is to happen there this time, in the order of the specification.
    package mutating func pass(_ point: FaultPoint) -> [Action] {
        guard let all = entries[point] else { return [] }
        let time = passed[point, default: 0] + 1
        passed[point] = time
        return all.filter { $0.times.contains(time) }.map(\.action)
    }
}

/// Why a specification of faults was refused: one sentence.
package struct FaultSpecError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}
