import Foundation

/// SplitMix64: one seed, one run.
struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var at = 0
        while at + 8 <= buffer.count {
            buffer.storeBytes(of: next(), toByteOffset: at, as: UInt64.self)
            at += 8
        }
        var last = next()
        while at < buffer.count {
            buffer[at] = UInt8(truncatingIfNeeded: last)
            last >>= 8
            at += 1
        }
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes { fill($0) }
        return bytes
    }

    /// The seeds of a test: those given, or the one that the environment variable VDRIVE_SEED holds.
    static func seeds(_ standard: UInt64...) -> [UInt64] {
        ProcessInfo.processInfo.environment["VDRIVE_SEED"].flatMap { UInt64($0) }.map { [$0] } ?? standard
    }
}
