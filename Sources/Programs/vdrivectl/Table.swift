/// Text in columns, as wide as their widest cell.
struct Table {
    private var rows: [[String]]

    /// - Parameter columns: the head; nil for none.
    init(columns: [String]?) {
        rows = columns.map { [$0] } ?? []
    }

    mutating func add(_ row: [String]) {
        rows.append(row)
    }

    /// The lines, without spaces at their ends.
    var text: String {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            var line = ""
            for (cell, width) in zip(row.dropLast(), widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            return line + (row.last ?? "")
        }
        return lines.joined(separator: "\n")
    }
}
