internal import Glibc
internal import Linux
internal import VDriveFormat
internal import VDriveModel

/// Who claims terms: one state directory. Its file outlives crashes, so that the same directory may go on with what it
/// holds, and nobody else may without being told to.
///
/// The file has two lines: the holder's id, and the last term that it set out to claim. A crash between a claim and its
/// owner record leaves a claim that only this note explains.
struct Holder: Sendable {
    let id: String
    private(set) var lastClaim: Term?
    private let path: String

    /// Reads the file, or makes one. Blocks.
    init(stateDirectory: String) throws(Errno) {
        path = "\(stateDirectory)/holder"
        let lines = (try? readText(path))?.split(separator: "\n") ?? []
        if let first = lines.first, first.count == 16, UInt64(first, radix: 16) != nil {
            id = String(first)
            lastClaim = lines.count > 1 ? UInt64(lines[1], radix: 16).map { Term($0) } : nil
            return
        }
        id = hexadecimal(UInt64.random(in: .min ... .max), digits: 16)
        lastClaim = nil
        try write()
    }

    /// Notes, durably, that a term is about to be claimed. Blocks.
    mutating func note(claiming term: Term) throws(Errno) {
        lastClaim = term
        try write()
    }

    private func write() throws(Errno) {
        let claim = lastClaim.map { hexadecimal($0.rawValue, digits: 8) } ?? "-"
        try writeFileAtomically(path, Array("\(id)\n\(claim)\n".utf8), mode: 0o600)
    }

    /// What the claim of a term says of this process.
    func owner(softwareVersion: String) -> TermOwner {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        let bootID = (try? readText("/proc/sys/kernel/random/boot_id"))?.split(separator: "\n").first
        return TermOwner(
            host: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
            holder: id,
            pid: UInt64(getpid()),
            bootID: bootID.map(String.init) ?? "unknown",
            nonce: hexadecimal(UInt64.random(in: .min ... .max), digits: 16),
            since: UInt64(time(nil)),
            softwareVersion: softwareVersion
        )
    }
}
