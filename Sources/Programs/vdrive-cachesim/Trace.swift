import Glibc
import Linux

/// Requests to a disk in the order in which they came.
struct Trace: Equatable, Sendable {
    struct Request: Equatable, Sendable {
        /// Seconds, from whatever instant.
        var time: Double
        var offset: UInt64
        /// Bytes, 1 to `lengthMax`.
        var length: UInt64

        init(time: Double, offset: UInt64, length: UInt64) {
            self.time = time
            self.offset = offset
            self.length = length
        }
    }

    /// Longer than any request that a kernel makes; it bounds the chunks that one can touch.
    static let lengthMax: UInt64 = 1 << 30

    var requests: [Request] = []

    init() {}

    /// Reads a trace's text.
    ///
    /// - Parameter path: for the errors.
    /// - Throws: `TraceError` for the first line that is none.
    init(text: [UInt8], path: String) throws(TraceError) {
        for (number, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            let fields = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self).trimmed
            }
            guard fields.count == 3, let time = Double(fields[0]), time.isFinite, let offset = UInt64(fields[1]),
                let length = UInt64(fields[2]), (1...Self.lengthMax).contains(length),
                !offset.addingReportingOverflow(length).overflow
            else {
                throw TraceError(
                    sentence: "\(path):\(number + 1): not a request: time,offset,length is one, of up to 1 GiB."
                )
            }
            requests.append(Request(time: time, offset: offset, length: length))
        }
    }

    /// The text that `init(text:path:)` reads.
    func text(comment: String) -> String {
        var text = "# \(comment)\n# seconds,offset,length\n"
        for request in requests { text += "\(request.time),\(request.offset),\(request.length)\n" }
        return text
    }

    static func read(_ path: String) throws(TraceError) -> [UInt8] {
        do throws(Errno) {
            let file = try OpenFile.open(path, flags: O_RDONLY)
            return try file.preadAll(count: Int(try file.size()), at: 0)
        } catch {
            throw TraceError(sentence: "The trace \(path) cannot be read: \(error).")
        }
    }

    func write(to path: String, comment: String) throws(TraceError) {
        do throws(Errno) {
            let file = try OpenFile.open(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try file.pwriteAll(Array(text(comment: comment).utf8), at: 0)
        } catch {
            throw TraceError(sentence: "The trace \(path) cannot be written: \(error).")
        }
    }
}

struct TraceError: Error, Equatable, CustomStringConvertible {
    let sentence: String
    var description: String { sentence }
}

extension String {
    fileprivate var trimmed: String {
        var part = self[...]
        while part.first == " " { part.removeFirst() }
        while part.last == " " { part.removeLast() }
        return String(part)
    }
}

/// A trace as the cache sees it: chunk after chunk, numbered in the order of their first access.
struct Accesses: Sendable {
    private(set) var order: [Int] = []
    private(set) var distinct = 0

    init(_ trace: Trace, chunkBytes: Int) {
        var numbers: [UInt64: Int] = [:]
        order.reserveCapacity(trace.requests.count)
        for request in trace.requests {
            let first = request.offset / UInt64(chunkBytes)
            let last = (request.offset + request.length - 1) / UInt64(chunkBytes)
            for chunk in first...last {
                let number = numbers[chunk] ?? numbers.count
                numbers[chunk] = number
                order.append(number)
            }
        }
        distinct = numbers.count
    }
}
