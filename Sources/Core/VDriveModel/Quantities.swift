/// The number of a chunk on its disk: byte offset divided by the chunk size.
package struct ChunkIndex: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    @inlinable package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    package var description: String { "chunk \(rawValue)" }
}

/// A fencing token: one writer's attachment of a disk. Terms begin at 1; every attach takes the next one.
package struct Term: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    package var next: Term { Term(rawValue + 1) }
    package var description: String { "\(rawValue)" }
}

/// One consistent cut of a disk. Epochs begin at 1 and never repeat, over all terms.
package struct Epoch: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64
    @inlinable package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    package var next: Epoch { Epoch(rawValue + 1) }
    package var description: String { "\(rawValue)" }
}

/// What wrote an object: part of the object's name, so that nobody's late write can hit somebody else's object.
package struct ObjectVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var term: Term
    package var epoch: Epoch

    package init(term: Term, epoch: Epoch) {
        self.term = term
        self.epoch = epoch
    }

    /// By term, then by epoch: the state of a disk is the highest epoch of the highest term that has a commit.
    package static func < (left: Self, right: Self) -> Bool {
        (left.term, left.epoch) < (right.term, right.epoch)
    }

    package var description: String { "\(term)-\(epoch)" }
}

/// XXH3, 64 bits, over a chunk's raw bytes.
package struct ContentHash: Hashable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// The identity of a disk, chosen at creation: 16 random bytes.
package struct DiskID: Hashable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(using generator: inout some RandomNumberGenerator) {
        // RFC 9562, version 4, variant 1.
        high = generator.next() & ~0xF000 | 0x4000
        low = generator.next() & ~(0b11 << 62) | (0b10 << 62)
    }

    /// Reads the form of `description`.
    package init?(_ text: some StringProtocol) {
        let digits = String(text.filter { $0 != "-" })
        guard digits.count == 32, text.count == 36,
            let high = UInt64(digits.prefix(16), radix: 16), let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// The usual form of a UUID: 8-4-4-4-12 lower-case hexadecimal digits.
    package var description: String {
        let digits = hexadecimal(high, digits: 16) + hexadecimal(low, digits: 16)
        var text = ""
        for (position, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(position) { text.append("-") }
            text.append(digit)
        }
        return text
    }
}

/// Lower-case hexadecimal, zero-padded to at least `digits`.
package func hexadecimal(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}
