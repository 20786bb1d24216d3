package import Glibc

/// Reads a whole file, also one of `/proc` or `/sys`, whose length is not known before.
///
/// - Parameter maxBytes: the most that is accepted.
/// - Throws: `Errno.fileTooLarge` when there is more.
package func readFile(_ path: String, maxBytes: Int) throws(Errno) -> [UInt8] {
    let file = try OpenFile.open(path, flags: O_RDONLY)
    var bytes: [UInt8] = []
    let step = min(max(maxBytes, 1), 64 * 1024)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: step, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        let count = try systemCall { read(file.descriptor, buffer.baseAddress, buffer.count) }
        guard count > 0 else { return bytes }
        guard bytes.count + count <= maxBytes else { throw .fileTooLarge }
        bytes.append(contentsOf: buffer[..<count])
    }
}

/// Reads a short text, such as a file of `/sys`, without the white space at its end.
package func readText(_ path: String, maxBytes: Int = 64 * 1024) throws(Errno) -> String {
    var bytes = try readFile(path, maxBytes: maxBytes)
    while let last = bytes.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: " ") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
}

/// Writes a text into an existing file in one call, as `/sys` and `/proc` want it.
package func writeText(_ text: String, to path: String) throws(Errno) {
    let file = try OpenFile.open(path, flags: O_WRONLY)
    let bytes = Array(text.utf8)
    let count = try systemCall { write(file.descriptor, bytes, bytes.count) }
    guard count == bytes.count else { throw .ioError }
}

/// Replaces a file's contents so that a crash leaves either the old or the new ones, whole, and a return means that the
/// new ones are durable: a temporary file, `fsync`, `rename`, `fsync` of the directory.
///
/// - Parameter mode: of the new file, exactly; the umask does not count.
package func writeFileAtomically(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws(Errno) {
    let temporary = Directory.temporaryName(for: path)
    do throws(Errno) {
        let file = try OpenFile.open(temporary, flags: O_WRONLY | O_CREAT | O_EXCL, mode: mode)
        try systemCall { fchmod(file.descriptor, mode) }
        try file.pwriteAll(bytes, at: 0)
        try file.sync()
        try Directory.rename(temporary, to: path)
    } catch {
        // The first failure is the one to report.
        try? Directory.removeFile(temporary)
        throw error
    }
    try Directory.sync(Directory.parent(of: path) ?? "/")
}
