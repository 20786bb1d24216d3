import Linux
import Testing
import VDriveProtocol

@Suite("Protocol/errors.md")
struct ErrorDocumentTests {
    @Test("the table and the code name the same errors")
    func agrees() throws {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let text = try readText("/\(root)/Protocol/errors.md")
        let rows = text.split(separator: "\n").compactMap { line -> (Int, String)? in
            let cells = line.split(separator: "|").map { $0.filter { $0 != " " && $0 != "`" } }
            guard cells.count > 2, let code = Int(cells[0]) else { return nil }
            return (code, cells[1])
        }
        let documented = Dictionary(rows) { first, _ in first }
        let real = Dictionary(uniqueKeysWithValues: ErrorCode.allCases.map { ($0.rawValue, $0.kind) })
        #expect(documented == real)
    }
}
