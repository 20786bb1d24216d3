import Glibc
import Linux

/// A folder of its own for one test, gone when the test is.
final class ScratchFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/vdrive-control-XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else {
            throw Errno.current
        }
        path = String(cString: made)
    }

    deinit { try? Directory.removeTree(path) }

    /// Writes a file with exactly this mode.
    func write(_ text: String, to name: String, mode: mode_t = 0o600) throws -> String {
        let file = "\(path)/\(name)"
        try writeFileAtomically(file, Array(text.utf8), mode: mode)
        return file
    }
}
