extension String {
    /// The text as it may be shown to people: what would steer a terminal stands there in letters, such as `\n`, `\x1B`
    /// and `\u202E`.
    ///
    /// Names of files come from whoever may write to a disk, and sentences quote them: a line break would forge a line,
    /// an escape sequence would move the cursor or set the clipboard, and a control of the writing direction would turn
    /// what follows around. A backslash stays as it is, so that a text may be made plain twice; what must be exact is
    /// asked for as JSON.
    package var plain: String {
        guard unicodeScalars.contains(where: \.steersTerminals) else { return self }
        var plain = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if scalar.steersTerminals {
                plain.append(contentsOf: scalar.inLetters.unicodeScalars)
            } else {
                plain.append(scalar)
            }
        }
        return String(plain)
    }
}

extension Unicode.Scalar {
    /// Whether it is a control character (C0, DEL, C1), ends a line or a paragraph, or sets the writing direction.
    fileprivate var steersTerminals: Bool {
        switch value {
        case 0...0x1F, 0x7F...0x9F: true
        case 0x2028, 0x2029: true
        case 0x061C, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    fileprivate var inLetters: String {
        switch self {
        case "\n": return "\\n"
        case "\r": return "\\r"
        case "\t": return "\\t"
        default:
            let digits = String(value, radix: 16, uppercase: true)
            let width = value < 0x100 ? 2 : 4
            return (width == 2 ? "\\x" : "\\u") + String(repeating: "0", count: width - digits.count) + digits
        }
    }
}
