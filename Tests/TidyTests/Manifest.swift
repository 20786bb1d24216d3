/// The rooms of Package.swift, read from its text: asking SwiftPM would take the build's lock and many seconds.
struct Manifest {
    struct Room {
        let name: String
        let folder: String
        /// Our own modules that it may import.
        let uses: Set<String>
        /// Modules of packages that it may import.
        let products: Set<String>

        var path: String { "Sources/\(folder)/\(name)" }
    }

    let rooms: [Room]
    /// The targets of the tests; each lies in the folder of its name.
    let trials: [Room]

    init(_ text: String) {
        let products = Self.productLists(text)
        rooms = Self.blocks(of: "Room", in: text).map { Self.room($0, products: products) }
        trials = Self.blocks(of: "Trial", in: text).map { Self.room($0, products: products) }
    }

    /// `let nio: [Target.Dependency] = [.product(name: "NIOCore", …` gives nio → NIOCore, …
    private static func productLists(_ text: String) -> [String: Set<String>] {
        var lists: [String: Set<String>] = [:]
        for piece in text.split(separator: "\nlet ", omittingEmptySubsequences: true).dropFirst() {
            guard let name = piece.split(separator: ":").first, piece.contains(".product(") else { continue }
            let products = piece.split(separator: ".product(name: ").dropFirst().compactMap { firstQuoted($0) }
            lists[String(name)] = Set(products)
        }
        return lists
    }

    /// The arguments of every `Kind(…)` with a name.
    private static func blocks(of kind: String, in text: String) -> [Substring] {
        var blocks: [Substring] = []
        var rest = text[...]
        while let start = rest.firstRange(of: "\(kind)(") {
            rest = rest[start.upperBound...]
            var depth = 1
            let end = rest.firstIndex {
                if $0 == "(" { depth += 1 }
                if $0 == ")" { depth -= 1 }
                return depth == 0
            }
            guard let end else { break }
            if rest[..<end].contains("name: \"") { blocks.append(rest[..<end]) }
            rest = rest[end...]
        }
        return blocks
    }

    private static func room(_ block: Substring, products: [String: Set<String>]) -> Room {
        func after(_ label: String) -> Substring? { block.firstRange(of: label).map { block[$0.upperBound...] } }
        let uses = after("uses: [").map { list in quoted(list.prefix { $0 != "]" }) } ?? []
        let packages = after("packages: ").map { $0.prefix { $0 != "," && $0 != ")" && $0 != "\n" } } ?? ""
        let names = packages.split { $0 == "+" || $0 == " " }
        return Room(
            name: after("name: ").flatMap { firstQuoted($0) } ?? "",
            folder: after("folder: ").flatMap { firstQuoted($0) } ?? "",
            uses: Set(uses),
            products: names.reduce(into: []) { $0.formUnion(products[String($1)] ?? []) }
        )
    }

    private static func firstQuoted(_ text: Substring) -> String? {
        quoted(text.prefix { $0 != "," && $0 != ")" }).first
    }

    private static func quoted(_ text: Substring) -> [String] {
        text.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }
}

extension SwiftText {
    /// The modules that a file imports, whatever the access level of the import is.
    func imports() -> [String] {
        lines.indices.compactMap { index in
            let words = line(index).split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place + 1 < words.count else { return nil }
            guard words[..<place].allSatisfy({ Self.importWords.contains(String($0)) }) else { return nil }
            let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
            let name = kinds.contains(words[place + 1]) ? words.dropFirst(place + 2).first : words[place + 1]
            return name?.split(separator: ".").first.map(String.init)
        }
    }

    private static let importWords: Set<String> = [
        "public", "package", "internal", "fileprivate", "private", "@testable", "@preconcurrency", "@_exported",
    ]
}
