import FoundationEssentials
import Glibc
import Linux

/// The process that answers one `PathQuestion`: JSON on its standard input, lines of JSON on its standard output.
///
/// Looking at files waits for the disk. A thread of the daemon that waited for the daemon's own disk could not be
/// killed, would keep `/dev/fuse` open, and so would make a killed daemon hang for ever; this process has no
/// `/dev/fuse`, and gets an I/O error instead. It ends when its work is done, or when nobody reads what it writes.
package enum PathProcess {
    /// The first argument of the program when it is to be this.
    package static let argument = "resolve-paths"
    private static let bufferBytes = 64 * 1024

    /// - Returns: the exit status.
    package static func main() -> CInt {
        // Not a part of the way to the disk, as the daemon is: it may wait for memory, and may go when there is none.
        try? ProcessFlags.clearIOFlusher()
        try? ProcessFlags.setOOMScoreAdjust(500)
        guard let text = try? OpenFile(owning: STDIN_FILENO).readToEnd(),
            let question = try? JSONDecoder().decode(PathQuestion.self, from: Data(text))
        else { return 2 }
        let output = Output()
        PathResolver(question, emit: output.add).run()
        output.flush()
        return 0
    }

    private final class Output {
        private let encoder = JSONEncoder()
        private var buffer: [UInt8] = []

        func add(_ answer: PathAnswer) {
            guard let line = try? encoder.encode(answer) else { preconditionFailure("an answer is no JSON: \(answer)") }
            buffer.append(contentsOf: line)
            buffer.append(UInt8(ascii: "\n"))
            if case .progress = answer { return flush() }
            if buffer.count >= PathProcess.bufferBytes { flush() }
        }

        func flush() {
            var done = 0
            while done < buffer.count {
                let count = buffer[done...].withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { exit(EXIT_FAILURE) }
                done += count
            }
            buffer.removeAll(keepingCapacity: true)
        }
    }
}
