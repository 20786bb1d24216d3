import Foundation

/// One text file of the project.
struct ProjectFile {
    /// From the package folder, without a slash at its start.
    let path: String
    let text: String
    /// Without comments and strings; nil where it is no Swift.
    let code: SwiftText?

    init(path: String, text: String) {
        self.path = path
        self.text = text
        code = path.hasSuffix(".swift") ? SwiftText(text) : nil
    }

    var isSwift: Bool { code != nil }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
}

/// What lies in the package, found from where this file was compiled.
enum ProjectFiles {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Everything that people wrote: sources, tests, scripts and documents. Read once.
    static let all: [ProjectFile] = {
        var files = ["Package.swift", "README.md", "CHANGELOG.md", ".ci/run"].compactMap(read)
        for folder in ["Sources", "Tests", "Protocol", "contrib"] {
            let names = FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path)
            for case let name as String in names ?? .init() where !isMade(name) {
                if let file = read("\(folder)/\(name)") { files.append(file) }
            }
        }
        return files.sorted { $0.path < $1.path }
    }()

    static var swift: [ProjectFile] { all.filter(\.isSwift) }
    static var sources: [ProjectFile] { all.filter { $0.path.hasPrefix("Sources/") } }

    /// Files that programs made: results of a benchmark, byte code.
    private static func isMade(_ name: String) -> Bool {
        name.hasPrefix("bench/results/") || name.contains("__pycache__") || name.hasSuffix(".o")
    }

    /// A regular text file; nil for folders and for bytes that are no text.
    private static func read(_ path: String) -> ProjectFile? {
        guard let bytes = try? Data(contentsOf: root.appendingPathComponent(path)), !bytes.contains(0) else {
            return nil
        }
        return String(data: bytes, encoding: .utf8).map { ProjectFile(path: path, text: $0) }
    }
}
