internal import Foundation
internal import Glibc
internal import Linux
internal import Synchronization

/// Plays the part of a service manager: a datagram socket that takes notices, as NOTIFY_SOCKET names it.
package final class NoticeListener: Sendable {
    /// What NOTIFY_SOCKET is to be.
    package let address: String
    private let descriptor: CInt
    private let path: String?

    /// - Parameter path: in the filesystem; an abstract name when left out.
    package init(path: String? = nil) throws {
        descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Errno.current }
        let name = "vdrive-test-\(getpid())-\(UInt64.random(in: .min ... .max))"
        self.path = path
        address = path ?? "@\(name)"
        guard let place = path.map({ UnixAddress(path: $0) }) ?? UnixAddress(abstract: name) else {
            throw Errno.nameTooLong
        }
        guard place.with({ bind(descriptor, $0, $1) }) == 0 else { throw Errno.current }
    }

    deinit {
        close(descriptor)
        if let path { unlink(path) }
    }

    /// The next datagram, without the newline at its end. It blocks.
    ///
    /// - Returns: nil when none comes within the time.
    package func next(seconds: Double) throws -> String? {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // A signal may end it early.
        while poll(&waiting, 1, CInt(max(0, (deadline - .now) / .milliseconds(1)))) <= 0 {
            guard ContinuousClock.now < deadline else { return nil }
        }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = recv(descriptor, &buffer, buffer.count, CInt(MSG_DONTWAIT))
        guard count >= 0 else { throw Errno.current }
        let text = String(decoding: buffer[..<count], as: UTF8.self)
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    /// Waits for a line in some datagram. It blocks.
    ///
    /// - Returns: all lines that came, with the last one the first that fits; nil when none came in time.
    package func lines(until isWanted: (Substring) -> Bool, seconds: Double = 60) throws -> [String]? {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var lines: [String] = []
        while ContinuousClock.now < deadline {
            guard let text = try next(seconds: (deadline - .now) / .seconds(1)) else { return nil }
            for line in text.split(separator: "\n") {
                lines.append(String(line))
                if isWanted(line) { return lines }
            }
        }
        return nil
    }
}
