import VDriveClient

/// Text in columns, as wide as their widest cell. What is in a cell is made plain.
struct Table {
    private struct Cell {
        let text: String
        var colour: Colour?
    }

    private let style: Style
    private var rows: [[Cell]]

    /// - Parameter columns: the head; nil for none.
    init(columns: [String]?, style: Style) {
        self.style = style
        rows = columns.map { [$0.map { Cell(text: $0) }] } ?? []
    }

    /// - Parameter colours: of some cells, by their column.
    mutating func add(_ row: [String], colours: [Int: Colour?] = [:]) {
        rows.append(row.enumerated().map { Cell(text: $1.plain, colour: colours[$0] ?? nil) })
    }

    /// The lines, without spaces at their ends.
    var text: String {
        let count = rows.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in rows.map { $0[column].text.count }.max() ?? 0 }
        let lines = rows.map { row in
            var line = ""
            for (cell, width) in zip(row.dropLast(), widths) {
                line += style.paint(cell.text, cell.colour)
                line += String(repeating: " ", count: width - cell.text.count + 2)
            }
            return line + (row.last.map { style.paint($0.text, $0.colour) } ?? "")
        }
        return lines.joined(separator: "\n")
    }
}
