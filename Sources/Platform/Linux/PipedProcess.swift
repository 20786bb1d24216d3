import Glibc

/// A program that is asked by one text on its standard input, and answers with lines on its standard output, for as
/// long as it likes. What it says on standard error goes where our own does.
///
/// `ask` and `nextLine` block, and belong to one thread; `kill` and `waitForEnd` may be called from any other.
// SAFETY: `buffer`, `start` and `input` are touched by the one thread that asks and reads; everything else is constant,
// but `hasEnded`, which is under `monitor`.
package final class PipedProcess: @unchecked Sendable {
    private let process: pid_t
    private let output: OpenFile
    private let end: OpenFile
    private var input: OpenFile?
    private var buffer: [UInt8] = []
    private var start = 0
    private let monitor = Monitor()
    private var hasEnded = false

    private static let readBytes = 64 * 1024

    /// Starts the program.
    ///
    /// - Parameter arguments: the program's path first.
    package init(_ arguments: [String], environment: [String]) throws(Errno) {
        let question = try Subprocess.pipe()
        let answer = try Subprocess.pipe()
        (process, end) = try Subprocess.spawn(
            arguments[0],
            arguments,
            input: question.reading,
            output: answer.writing,
            errors: nil,
            environment: environment
        )
        input = question.writing
        output = answer.reading
    }

    deinit {
        kill()
        // One that hangs in the kernel is left to init.
        _ = waitForEnd(seconds: 0)
    }

    /// Sends the whole question; the program sees its end. Call it once.
    package func ask(_ text: some Sequence<UInt8>) throws(Errno) {
        guard let input else { return }
        self.input = nil
        let bytes = Array(text)
        var done = 0
        while done < bytes.count {
            done += try systemCall {
                bytes[done...].withUnsafeBytes { write(input.descriptor, $0.baseAddress, $0.count) }
            }
        }
    }

    /// The next line without its newline; nil when the program has ended, or was killed.
    package func nextLine() throws(Errno) -> [UInt8]? {
        var searched = start
        while true {
            if let newline = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = newline + 1 }
                return Array(buffer[start..<newline])
            }
            buffer.removeFirst(start)
            start = 0
            searched = buffer.count
            let filled = buffer.count
            buffer.append(contentsOf: repeatElement(0, count: Self.readBytes))
            let count = try systemCall {
                buffer.withUnsafeMutableBytes { read(output.descriptor, $0.baseAddress! + filled, Self.readBytes) }
            }
            buffer.removeLast(Self.readBytes - count)
            if count == 0 { return nil }
        }
    }

    /// Ends the program, unless it hangs in the kernel; then it ends when that lets it go.
    package func kill() {
        monitor.withLock {
            if !hasEnded { Glibc.kill(-process, SIGKILL) }
        }
    }

    /// Waits for the program's end.
    ///
    /// - Returns: whether it has ended.
    package func waitForEnd(seconds: Int) -> Bool {
        var wait = pollfd(fd: end.descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, CInt(seconds * 1000)) > 0 else { return monitor.withLock { hasEnded } }
        monitor.withLock {
            guard !hasEnded else { return }
            hasEnded = true
            while waitpid(process, nil, 0) < 0, errno == EINTR {}
        }
        return true
    }
}
