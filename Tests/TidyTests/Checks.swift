/// What is wrong, where, and what to do.
struct Complaint: CustomStringConvertible {
    let path: String
    /// Counted from 1.
    let line: Int
    let what: String

    var description: String { "\(path):\(line): \(what)" }
}

/// The rules for single files. Each takes a file and gives its complaints, so that tests can show it bad text.
enum Checks {
    static let fileLinesMax = 600
    static let functionLinesMax = 70
    static let columnsMax = 120

    static func fileLength(_ file: ProjectFile) -> [Complaint] {
        let count = file.lines.count - (file.text.hasSuffix("\n") ? 1 : 0)
        guard count > fileLinesMax else { return [] }
        return [
            Complaint(
                path: file.path,
                line: count,
                what: "\(count) lines; a file of over \(fileLinesMax) holds two nouns"
            )
        ]
    }

    static func functionLength(_ file: ProjectFile) -> [Complaint] {
        (file.code?.functions() ?? []).filter { $0.length > functionLinesMax }.map {
            Complaint(
                path: file.path,
                line: $0.line,
                what: "\($0.name) has \($0.length) lines, over \(functionLinesMax)"
            )
        }
    }

    static func lineLength(_ file: ProjectFile) -> [Complaint] {
        each(file) { line, _ in line.count > columnsMax ? "\(line.count) columns, over \(columnsMax)" : nil }
    }

    /// Words of unfinished work. They are put together here, or this file would complain about itself.
    static let unfinished = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]

    static func unfinishedWork(_ file: ProjectFile) -> [Complaint] {
        let stop = "fatal" + "Error(\"not implemented"
        return each(file) { line, _ in
            if line.contains(stop) { return "finish this instead of trapping" }
            let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
            return words.first { unfinished.contains(String($0)) }.map { "\($0): do it now, or open an issue" }
        }
    }

    /// Places of one machine; a project is found from where it lies.
    static func machinePaths(_ file: ProjectFile) -> [Complaint] {
        let places = ["wo" + "rk", "fa" + "rm", "ro" + "ot", "opt/" + "swift", "opt/" + "swift-packages"]
        return each(file) { line, _ in
            for place in places {
                for range in line.ranges(of: "/\(place)") {
                    let before = range.lowerBound == line.startIndex ? " " : line[line.index(before: range.lowerBound)]
                    let after = range.upperBound == line.endIndex ? " " : line[range.upperBound]
                    let isWhole = !(before.isLetter || before.isNumber || ".}_-)$".contains(before))
                    if isWhole, after == "/" { return "a path of one machine: /\(place)/" }
                }
            }
            return nil
        }
    }

    /// What switches the compiler's proof off says which rule holds instead, at most six lines away.
    static func unprovenSharing(_ file: ProjectFile) -> [Complaint] {
        let raw = file.lines
        return each(file) { _, code in
            ["@unchecked Sendable", "nonisolated(unsafe)"].first { code.text.contains($0) }.flatMap { mark in
                let near = max(0, code.index - 6)...min(raw.count - 1, code.index + 6)
                return raw[near].contains { $0.contains("SAFETY") } ? nil : "\(mark) without a SAFETY line near it"
            }
        }
    }

    /// Formats, vocabulary and metadata take time and chance as parameters: their tests replay.
    static func hiddenInputs(_ file: ProjectFile) -> [Complaint] {
        each(file) { _, code in
            if code.text.contains(".random(in:"), !code.text.contains("using:") {
                return ".random(in:) without a generator"
            }
            return ["Date()", "Date.now", "Task.sleep", "SystemRandomNumberGenerator"]
                .first { code.text.contains($0) }.map { "\($0): take a clock or a generator as a parameter" }
        }
    }

    private struct Code {
        let index: Int
        let text: String
    }

    private static func each(_ file: ProjectFile, _ complaint: (Substring, Code) -> String?) -> [Complaint] {
        file.lines.enumerated().compactMap { index, line in
            complaint(line, Code(index: index, text: file.code?.line(index) ?? String(line)))
                .map { Complaint(path: file.path, line: index + 1, what: $0) }
        }
    }
}
