internal import Glibc

/// The value of a Content-Range header: `bytes 0-99/1234`, or with `*` for an unknown length.
struct ContentRange: Equatable {
    var bytes: Range<Int>
    var length: Int?

    init?(_ value: String) {
        let words = value.split(separator: " ")
        guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
        let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, ends.count == 2, let first = Int(ends[0]), let last = Int(ends[1]), first >= 0,
            last >= first, last < Int.max
        else { return nil }
        if parts[1] != "*" {
            guard let length = Int(parts[1]), length > last else { return nil }
            self.length = length
        }
        bytes = first..<last + 1
    }
}

/// The value of a Retry-After header, in seconds from now.
enum RetryAfter {
    /// - Parameter now: seconds since 1970, for the form with a date.
    static func seconds(_ value: String, now: Int) -> Double? {
        if let seconds = Int(value) { return seconds >= 0 ? Double(seconds) : nil }
        return date(value).map { Double(max(0, $0 - now)) }
    }

    static func seconds(_ value: String) -> Double? { seconds(value, now: time(nil)) }

    /// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`; the two obsolete forms of HTTP dates are not read.
    private static func date(_ value: String) -> Int? {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let words = value.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let day = Int(words[1]), (1...31).contains(day),
            let month = months.firstIndex(of: String(words[2])), let year = Int(words[3]), (1970...9999).contains(year)
        else { return nil }
        let clock = words[4].split(separator: ":").map { Int($0) ?? -1 }
        guard clock.count == 3, (0..<24).contains(clock[0]), (0..<60).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        return days(year: year, month: month + 1, day: day) * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
    }

    /// Days since 1970 in the Gregorian calendar; years are counted from March, so that leap days end them.
    private static func days(year: Int, month: Int, day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }
}
