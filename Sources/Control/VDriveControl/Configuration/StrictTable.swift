import Linux
import TOMLKit
import VDriveProtocol

/// A TOML file whose keys are all known and whose values all have their types: anything else is an error with the file
/// and the line, because a misspelt key that is ignored is a setting that silently does nothing.
struct StrictTable {
    /// The longest file that is read; ours have a dozen short lines.
    static let bytesMax = 64 * 1024

    private let table: TOMLTable
    private let text: String
    let path: String

    /// - Parameter keys: all that the file may have.
    /// - Parameter isSecret: whether errors must not repeat anything of the file's text.
    /// - Throws: `fixConfiguration`.
    init(text: String, path: String, keys: Set<String>, isSecret: Bool) throws(RPCError) {
        // The parser is C++ and reads up to the first zero: what is behind it would be ignored in silence.
        guard !text.utf8.contains(0) else { throw RPCError(.fixConfiguration, "\(path) holds a zero byte.") }
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            let reason = isSecret ? "this is not TOML" : error.description
            throw RPCError(.fixConfiguration, "\(path), line \(error.source.begin.line): \(reason).")
        } catch {
            throw RPCError(.fixConfiguration, "\(path) is not TOML.")
        }
        self.text = text
        self.path = path
        if let unknown = table.keys.filter({ !keys.contains($0) }).min() {
            let name = isSecret ? "a key" : "the key \(unknown)"
            let known = keys.sorted().joined(separator: ", ")
            throw error(at: unknown, "\(name) is not known; known are \(known).")
        }
    }

    func string(_ key: String) throws(RPCError) -> String? {
        guard let value = table[key] else { return nil }
        guard value.type == .string, let string = value.string else { throw error(at: key, "\(key) must be a string.") }
        return string
    }

    func bool(_ key: String) throws(RPCError) -> Bool? {
        guard let value = table[key] else { return nil }
        guard value.type == .bool, let bool = value.bool else { throw error(at: key, "\(key) must be true or false.") }
        return bool
    }

    /// A number, whole or not.
    func number(_ key: String) throws(RPCError) -> Double? {
        guard let value = table[key] else { return nil }
        if value.type == .double, let number = value.double { return number }
        if value.type == .int, let number = value.int { return Double(number) }
        throw error(at: key, "\(key) must be a number.")
    }

    /// A size: a whole number of bytes, or a string such as "10G".
    func bytes(_ key: String) throws(RPCError) -> UInt64? {
        guard let value = table[key] else { return nil }
        if value.type == .int, let bytes = value.int.flatMap(UInt64.init(exactly:)) { return bytes }
        if value.type == .string, let bytes = value.string.flatMap(ByteSize.parse) { return bytes }
        throw error(at: key, "\(key) must be a size, such as \"10G\" or a number of bytes.")
    }

    /// Insists on a value.
    func required<Value>(_ key: String, _ value: Value?) throws(RPCError) -> Value {
        guard let value else { throw RPCError(.fixConfiguration, "\(path): \(key) is missing.") }
        return value
    }

    func error(at key: String, _ sentence: String) -> RPCError {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let index = lines.firstIndex { line in
            let word = line.drop { $0 == " " || $0 == "\t" || $0 == "\"" || $0 == "'" || $0 == "[" }
            return word.hasPrefix(key)
        }
        let place = index.map { ", line \($0 + 1)" } ?? ""
        return RPCError(.fixConfiguration, "\(path)\(place): \(sentence)")
    }

    /// Reads a file as text.
    ///
    /// - Throws: `fixConfiguration`.
    static func read(_ path: String) throws(RPCError) -> String {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try readFile(path, maxBytes: bytesMax)
        } catch {
            throw RPCError(.fixConfiguration, "\(path) cannot be read: \(error).")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw RPCError(.fixConfiguration, "\(path) is not UTF-8 text.")
        }
        return text
    }
}
