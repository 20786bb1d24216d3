import Glibc
import VDriveClient
import VDriveProtocol

/// Shows on standard error how far a job has come: a bar in place on a terminal, a line now and then elsewhere.
///
/// Quick jobs show nothing: what is over before it can be read only flickers, and fills the logs of scripts.
struct ProgressLine {
    /// Seconds before the first sign, and between two lines where nothing is drawn in place.
    private static let quietTerminal = 0.4
    private static let quietElsewhere = 2.0
    private static let secondsBetweenLines = 10.0
    private static let barWidth = 24

    private let what: String
    private let style: Style
    private let started = Self.now
    private var lastLine: Double?
    private var isDrawn = false

    /// - Parameter what: the job in two words, such as `sync films`.
    init(what: String, style: Style) {
        self.what = what.plain
        self.style = style
    }

    private static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    mutating func update(_ progress: JobProgress) {
        let now = Self.now
        guard now - started >= (style.isTerminal ? Self.quietTerminal : Self.quietElsewhere) else { return }
        if style.isTerminal {
            write("\r\(bar(progress))\u{1B}[K")
            isDrawn = true
        } else if lastLine.map({ now - $0 >= Self.secondsBetweenLines }) ?? true {
            write("\(words(progress))\n")
            lastLine = now
        }
    }

    /// Takes the bar away.
    mutating func end() {
        if isDrawn { write("\r\u{1B}[K") }
        isDrawn = false
    }

    private func bar(_ progress: JobProgress) -> String {
        guard let total = progress.total, total > 0 else { return words(progress) }
        let share = Double(progress.done) / Double(total)
        let filled = Int(share * Double(Self.barWidth))
        let full = style.paint(String(repeating: "#", count: filled), .green)
        return "\(what)  [\(full)\(String(repeating: "-", count: Self.barWidth - filled))]  \(figures(progress))"
    }

    private func words(_ progress: JobProgress) -> String {
        guard let total = progress.total, total > 0 else {
            let done = progress.done > 0 ? ", \(amount(progress.done, progress.unit))" : ""
            return "\(what): \((progress.phase ?? "running").plain)\(done)"
        }
        return "\(what): \(figures(progress))"
    }

    private func figures(_ progress: JobProgress) -> String {
        let total = progress.total ?? 0
        let percent = total == 0 ? 100 : Int(Double(progress.done) / Double(total) * 100)
        var parts = ["\(percent) %", "\(amount(progress.done, progress.unit)) of \(amount(total, progress.unit))"]
        if let rate = progress.ratePerSecond { parts.append("\(amount(UInt64(max(0, rate)), progress.unit))/s") }
        if let seconds = progress.etaSeconds { parts.append("ETA \(Self.time(seconds))") }
        return parts.joined(separator: "  ")
    }

    private func amount(_ count: UInt64, _ unit: JobUnit?) -> String {
        switch unit {
        case .bytes: ByteSize.text(count)
        case .chunks, .files, .objects: "\(count) \(unit?.rawValue ?? "")"
        case nil: "\(count)"
        }
    }

    /// `1:02:03`, or `2:03`.
    static func time(_ seconds: Double) -> String {
        let whole = Int(min(max(seconds, 0), 1e9))
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let tail = "\(two(whole % 60))"
        return whole < 3600
            ? "\(whole / 60):\(tail)" : "\(whole / 3600):\(two(whole / 60 % 60)):\(tail)"
    }

    private func write(_ text: String) {
        // What nobody can see is no reason to give up the work.
        Array(text.utf8).withUnsafeBytes { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
