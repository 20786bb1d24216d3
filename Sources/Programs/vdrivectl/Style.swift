import Glibc
import VDriveProtocol

/// A colour of a word. It only repeats what the word says.
enum Colour: String {
    case red = "31"
    case green = "32"
    case yellow = "33"

    init?(_ state: DiskState) {
        switch state {
        case .attached: self = .green
        case .attaching, .detaching, .destroying: self = .yellow
        case .fenced, .diverged, .failed: self = .red
        case .detached: return nil
        }
    }

    init?(_ state: JobState) {
        switch state {
        case .running: self = .yellow
        case .succeeded: self = .green
        case .failed: self = .red
        case .cancelled: return nil
        }
    }

    /// - Parameter remoteState: as a status tells it.
    init?(remoteState: String?) {
        switch remoteState {
        case "online": self = .green
        case "degraded": self = .yellow
        case "offline": self = .red
        default: return nil
        }
    }
}

/// How words look on standard output: coloured on a terminal, unless NO_COLOR asks for none.
struct Style {
    let isColoured: Bool
    let isTerminal: Bool

    static var standardOutput: Style { Style(descriptor: STDOUT_FILENO) }

    /// How standard error looks. A terminal without a cursor is as good as a file for what is drawn in place.
    static var standardError: Style {
        let style = Style(descriptor: STDERR_FILENO)
        return Style(isColoured: style.isColoured, isTerminal: style.isTerminal && variable("TERM") != "dumb")
    }

    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    private init(isColoured: Bool, isTerminal: Bool) {
        self.isColoured = isColoured
        self.isTerminal = isTerminal
    }

    private init(descriptor: CInt) {
        let isTerminal = isatty(descriptor) == 1
        let isPlain = !Self.variable("NO_COLOR").isEmpty || Self.variable("TERM") == "dumb"
        self.init(isColoured: isTerminal && !isPlain, isTerminal: isTerminal)
    }

    func paint(_ text: String, _ colour: Colour?) -> String {
        guard isColoured, let colour else { return text }
        return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
    }
}
