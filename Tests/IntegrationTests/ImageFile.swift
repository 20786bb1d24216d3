import Glibc
import Linux

/// `disk.img` as a program sees it, with the calls that Swift's Glibc module does not show.
struct ImageFile: Sendable {
    // SAFETY: a function of the C library, looked up once.
    nonisolated(unsafe) private static let fallocate = unsafeBitCast(
        dlsym(dlopen(nil, RTLD_NOW), "fallocate"),
        to: (@convention(c) (CInt, CInt, off_t, off_t) -> CInt).self
    )
    static let keepSize: CInt = 1
    static let punchHole: CInt = 2
    static let zeroRange: CInt = 16
    /// O_DIRECT, which the Glibc module does not show.
    #if arch(arm64)
        static let direct: CInt = 0o200000
    #else
        static let direct: CInt = 0o40000
    #endif

    let file: OpenFile

    init(_ path: String, flags: CInt = O_RDWR) throws {
        file = try OpenFile.open(path, flags: flags)
    }

    func allocate(_ mode: CInt, at offset: UInt64, count: Int) throws(Errno) {
        guard Self.fallocate(file.descriptor, mode, off_t(offset), off_t(count)) == 0 else { throw Errno.current }
    }

    func punch(at offset: UInt64, count: Int) throws(Errno) {
        try allocate(Self.punchHole | Self.keepSize, at: offset, count: count)
    }

    func read(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] { try file.preadAll(count: count, at: offset) }
    func write(_ bytes: [UInt8], at offset: UInt64) throws(Errno) { try file.pwriteAll(bytes, at: offset) }
}
