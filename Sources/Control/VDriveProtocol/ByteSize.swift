/// Sizes as people write and read them: `64G`, `1.5T`, `512K`, or plain bytes. All units are binary.
package enum ByteSize {
    private static let units: [(letter: Character, shift: UInt64)] = [
        ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60),
    ]

    /// Reads a size.
    ///
    /// - Parameter text: digits, with a fraction if need be, then nothing, `B`, or one of `K M G T P E` in either case,
    ///   with or without `B` or `iB` behind it.
    /// - Returns: bytes; nil when the text is no size, is no whole number of bytes, or is 2^63 or more.
    package static func parse(_ text: some StringProtocol) -> UInt64? {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let shift = shift(of: text[digits.endIndex...].uppercased()) else { return nil }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = UInt64(first), whole <= (1 << 63 - 1) >> shift else { return nil }
        let bytes = whole << shift
        guard parts.count == 2 else { return bytes }
        guard shift > 0, let fraction = fraction(parts[1], shift: shift) else { return nil }
        let (sum, overflows) = bytes.addingReportingOverflow(fraction)
        return overflows || sum >= 1 << 63 ? nil : sum
    }

    private static func shift(of suffix: String) -> UInt64? {
        if suffix.isEmpty || suffix == "B" { return 0 }
        guard let unit = units.first(where: { $0.letter == suffix.first }) else { return nil }
        return ["", "B", "IB"].contains(suffix.dropFirst()) ? unit.shift : nil
    }

    /// `.5` of a unit; nil where that is no whole number of bytes.
    private static func fraction(_ digits: some StringProtocol, shift: UInt64) -> UInt64? {
        // Nine digits keep the product below in 128 bits, and nobody writes more.
        guard (1...9).contains(digits.count), let numerator = UInt64(digits) else { return nil }
        let denominator = (0..<digits.count).reduce(into: UInt64(1)) { power, _ in power *= 10 }
        let product = numerator.multipliedFullWidth(by: 1 << shift)
        let (quotient, remainder) = denominator.dividingFullWidth(product)
        return remainder == 0 ? quotient : nil
    }

    /// A size for people: three or four digits and a binary unit, as in `1.50 TiB`.
    package static func text(_ bytes: UInt64) -> String {
        guard bytes >= 1024, let unit = units.last(where: { bytes >> $0.shift > 0 }) else { return "\(bytes) B" }
        let hundredths = bytes >> unit.shift * 100 + (bytes & (1 << unit.shift - 1)) / 16 * 100 / (1 << unit.shift / 16)
        let (whole, rest) = hundredths.quotientAndRemainder(dividingBy: 100)
        let digits =
            switch whole {
            case ..<10: "\(whole).\(rest < 10 ? "0" : "")\(rest)"
            case ..<100: "\(whole).\(rest / 10)"
            default: "\(whole)"
            }
        return "\(digits) \(unit.letter)iB"
    }
}
