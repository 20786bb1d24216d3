import Glibc

/// Shows something again and again: in place on a terminal, one after the other elsewhere.
///
/// It ends with SIGINT, and then well: that is the only way to end it.
struct Watch {
    let seconds: Double
    let isRedrawn: Bool

    /// Has SIGINT end the program well: it is the only way to end what shows something for ever.
    static func endWellAtInterrupt() {
        // Nothing has to be undone, and a daemon that hangs must not hold the terminal.
        signal(SIGINT) { _ in _exit(ExitStatus.fine.rawValue) }
    }

    func run(_ frame: (_ isFirst: Bool) throws -> String) throws -> Never {
        Self.endWellAtInterrupt()
        var isFirst = true
        while true {
            let text = try frame(isFirst)
            if isRedrawn {
                // Over the old one, line by line: clearing first would flicker.
                let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                show((isFirst ? "\u{1B}[2J" : "") + "\u{1B}[H" + lines.map { "\($0)\u{1B}[K\n" }.joined() + "\u{1B}[J")
            } else if !text.isEmpty {
                show(text + "\n")
            }
            isFirst = false
            usleep(UInt32(seconds * 1e6))
        }
    }

}

/// Writes to standard output at once, past the buffer of `print`, which a pipe would see only when it is full.
func show(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { exit(ExitStatus.failed.rawValue) }
        rest = rest.dropFirst(count)
    }
}
