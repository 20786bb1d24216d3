internal import CLinux
import Glibc

/// Address space that costs memory only where it is touched: anonymous, private, filled with zeros, without reserve.
///
/// Under `mlockall` with `MCL_ONFAULT` (`ProcessFlags.lockMemory`) the same holds: touched pages stay, others cost
/// nothing. Huge pages are refused for it, because one touched word would then cost 2 MiB.
// SAFETY: the pointer and the length never change after init, and the mapping lives exactly as long as the object; who
// may touch which bytes, and by which atomics, is the owner's rule.
package final class MappedRegion: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    /// A multiple of the page size.
    package let byteCount: Int

    /// - Parameter byteCount: more than 0; rounded up to whole pages.
    /// - Throws: `Errno.noMemory` when the address space, or what the kernel promises of it, is used up.
    package init(byteCount: Int) throws(Errno) {
        precondition(byteCount > 0, "a region of \(byteCount) bytes")
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let rounded = (byteCount + page - 1) / page * page
        let mapped = mmap(
            nil,
            rounded,
            PROT_READ | PROT_WRITE,
            MAP_PRIVATE | CInt(MAP_ANONYMOUS) | CInt(MAP_NORESERVE),
            -1,
            0
        )
        guard let mapped, mapped != MAP_FAILED else { throw Errno.current }
        // Only a matter of memory use: kernels without huge pages answer EINVAL.
        _ = madvise(mapped, rounded, CInt(MADV_NOHUGEPAGE))
        base = mapped
        self.byteCount = rounded
    }

    deinit {
        munmap(base, byteCount)
    }

    /// Gives the whole pages inside a range of bytes back; they read as zeros afterwards. The bytes of pages that the
    /// range covers only in part stay as they are.
    ///
    /// Works on locked memory too. Nobody may touch the range meanwhile.
    package func discard(_ range: Range<Int>) throws(Errno) {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) outside of \(byteCount) bytes")
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let first = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound / page * page
        guard first < end else { return }
        try shimCall { CLinux_discard_memory(base + first, end - first) }
    }

    /// The bytes of the region that are in memory now.
    package func residentBytes() throws(Errno) -> Int {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        var states = [UInt8](repeating: 0, count: byteCount / page)
        try systemCall { mincore(base, byteCount, &states) }
        return states.count { $0 & 1 != 0 } * page
    }
}
