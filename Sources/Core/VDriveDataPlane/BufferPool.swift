package import Linux
internal import Synchronization

/// A fixed number of equal buffers for write requests on their way to the engine.
///
/// The last buffer given back is the next one handed out, so that a small load touches little memory; the bound is the
/// back-pressure: a FUSE thread waits when all are out.
package final class BufferPool: @unchecked Sendable {
    package let bufferBytes: Int
    // SAFETY: a buffer's memory belongs to whoever leased its number; the links are touched only by atomics.
    private let region: MappedRegion
    private let links: [Int]
    private let next: UnsafeMutablePointer<Atomic<Int>>
    /// The number of the first free buffer plus one, below a counter that tells two heads of the same number apart.
    private let head: Atomic<Int>
    private let room = WaitPoint()

    package init(count: Int, bufferBytes: Int) throws(Errno) {
        self.bufferBytes = bufferBytes
        region = try MappedRegion(byteCount: count * bufferBytes)
        links = Array(0..<count)
        next = .allocate(capacity: count)
        for number in links { (next + number).initialize(to: Atomic(number + 1 < count ? number + 2 : 0)) }
        head = Atomic(1)
    }

    deinit { next.deallocate() }

    /// Takes a buffer, waiting (the thread blocks) until one is free.
    package func lease() -> PooledBuffer {
        room.wait { takeNumber().map { PooledBuffer(pool: self, number: $0) } }
    }

    private func takeNumber() -> Int? {
        var seen = head.load(ordering: .acquiring)
        while seen & 0xFFFF != 0 {
            let number = seen & 0xFFFF - 1
            let follower = next[number].load(ordering: .relaxed)
            let (won, now) = head.weakCompareExchange(
                expected: seen,
                desired: (seen >> 16 &+ 1) << 16 | follower,
                ordering: .acquiringAndReleasing
            )
            if won { return number }
            seen = now
        }
        return nil
    }

    fileprivate func giveBack(_ number: Int) {
        var seen = head.load(ordering: .relaxed)
        while true {
            next[number].store(seen & 0xFFFF, ordering: .relaxed)
            let (won, now) = head.weakCompareExchange(
                expected: seen,
                desired: (seen >> 16 &+ 1) << 16 | (number + 1),
                ordering: .acquiringAndReleasing
            )
            if won { break }
            seen = now
        }
        room.signal()
    }

    fileprivate func memory(_ number: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: region.base + number * bufferBytes, count: bufferBytes)
    }
}

/// A leased buffer: given back when it goes.
package final class PooledBuffer: Sendable {
    private let pool: BufferPool
    private let number: Int

    fileprivate init(pool: BufferPool, number: Int) {
        self.pool = pool
        self.number = number
    }

    deinit { pool.giveBack(number) }

    /// The whole buffer. The memory is valid while this object lives.
    package var memory: UnsafeMutableRawBufferPointer { pool.memory(number) }
}
