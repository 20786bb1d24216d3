import Glibc
import VDriveProtocol

/// Makes bytes that no client should send, the same ones for the same seed.
struct JSONMutator {
    private(set) var state: UInt64

    init(seed: UInt64) { state = seed }

    /// The seed that VDRIVE_FUZZ_SEED gives, or another one each time.
    static var seed: UInt64 {
        getenv("VDRIVE_FUZZ_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 1 ... .max)
    }

    /// How long a fuzz test runs: VDRIVE_FUZZ_SECONDS, or two.
    static var duration: Duration {
        .seconds(getenv("VDRIVE_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) } ?? 2)
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func number(below bound: Int) -> Int { Int(next() % UInt64(bound)) }

    mutating func pick<Element>(_ items: [Element]) -> Element { items[number(below: items.count)] }

    /// A value of any shape, not deep.
    mutating func value(depth: Int = 0) -> JSONValue {
        switch number(below: depth > 4 ? 5 : 7) {
        case 0: return .null
        case 1: return .boolean(next() & 1 == 0)
        case 2: return .integer(Int64(bitPattern: next()) >> Int64(number(below: 64)))
        case 3:
            let number = Double(bitPattern: next())
            return .number(number.isFinite ? number : 0.5)
        case 4: return .string(string())
        case 5: return .array((0..<number(below: 5)).map { _ in value(depth: depth + 1) })
        default:
            var fields: [String: JSONValue] = [:]
            for _ in 0..<number(below: 5) { fields[string()] = value(depth: depth + 1) }
            return .object(fields)
        }
    }

    private mutating func string() -> String {
        let scalars: [ClosedRange<UInt32>] = [
            0x20...0x7E, 0...0x1F, 0x22...0x22, 0x5C...0x5C, 0x80...0xD7FF, 0x1F600...0x1F64F,
        ]
        var text = String.UnicodeScalarView()
        for _ in 0..<number(below: 12) {
            let range = pick(scalars)
            let code = range.lowerBound + UInt32(number(below: range.count))
            if let scalar = Unicode.Scalar(code) { text.append(scalar) }
        }
        return String(text)
    }

    /// Some bytes changed, dropped, doubled, cut off or put in; never a newline.
    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...number(below: 3) {
            let at = number(below: max(1, bytes.count))
            switch number(below: 7) {
            case 0 where !bytes.isEmpty: bytes[at] = UInt8(truncatingIfNeeded: next())
            case 1 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8(number(below: 8))
            case 2: bytes.removeSubrange(at..<min(bytes.count, at + number(below: 8)))
            case 3: bytes.removeSubrange(min(at, bytes.count)...)
            case 4:
                let tokens = [
                    "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "-", "1e999", "\\ud800", "\u{0}", "\"id\":",
                ]
                bytes.insert(contentsOf: pick(tokens).utf8, at: min(at, bytes.count))
            case 5:
                bytes.insert(
                    contentsOf: bytes[min(at, bytes.count)...].prefix(number(below: 40)),
                    at: min(at, bytes.count)
                )
            default: bytes.insert(contentsOf: value().text.utf8, at: min(at, bytes.count))
            }
        }
        return bytes.map { $0 == UInt8(ascii: "\n") ? 0x20 : $0 }
    }
}
