package import Linux
package import Synchronization
package import VDriveModel

/// One atomic word a chunk, for a disk of any size.
///
/// ## Notes on the design
/// FUSE threads read a word, pin the chunk with a compare-and-swap, do the I/O on the cache file, and unpin. Only
/// CacheActor changes a chunk's state: it sets `closing`, waits until the pins are gone, and publishes the next word.
/// The table is an anonymous mapping without reserve: untouched words cost address space, not memory.
///
/// Invariants: pins are 0 when a word is published with another slot; `closing` is set and cleared by the holder of the
/// chunk's lock in CacheActor alone.
package struct ChunkTable: Sendable {
    @usableFromInline let region: MappedRegion
    package let chunkCount: UInt64

    /// - Throws: `Errno` when the address space is not to be had.
    package init(chunkCount: UInt64) throws(Errno) {
        precondition(
            MemoryLayout<Atomic<UInt64>>.size == 8 && MemoryLayout<Atomic<UInt64>>.alignment == 8,
            "the table lays atomics over raw zero pages"
        )
        region = try MappedRegion(byteCount: Int(chunkCount) * 8)
        self.chunkCount = chunkCount
    }

    /// SAFETY: the region outlives the table, its zero bytes are what `Atomic(0)` is in memory (checked for size and
    /// alignment in `init`), and every access goes through the atomic.
    @inlinable @inline(__always)
    func word(_ chunk: ChunkIndex) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(chunk.rawValue < chunkCount, "chunk beyond the disk")
        return region.base.assumingMemoryBound(to: Atomic<UInt64>.self) + Int(chunk.rawValue)
    }

    @inlinable package func load(_ chunk: ChunkIndex) -> ChunkWord {
        ChunkWord(bits: word(chunk).pointee.load(ordering: .acquiring))
    }

    /// Pins a resident chunk and notes the access.
    ///
    /// - Parameter writing: also demands that the chunk is dirty.
    /// - Returns: the word as it was before, or nil when the chunk is not resident, is closing, or has too many pins.
    @inlinable package func pin(_ chunk: ChunkIndex, writing: Bool, tick: UInt64) -> ChunkWord? {
        let place = word(chunk)
        var seen = ChunkWord(bits: place.pointee.load(ordering: .relaxed))
        while true {
            guard seen.isResident, !seen.isClosing, !writing || seen.isDirty, seen.pins < ChunkWord.pinsMax else {
                return nil
            }
            // Sequentially consistent, because a writer's next step is to load the disk's epoch (see HitPath).
            let (exchanged, original) = place.pointee.weakCompareExchange(
                expected: seen.bits,
                desired: seen.pinned(tick: tick).bits,
                ordering: .sequentiallyConsistent
            )
            if exchanged { return seen }
            seen = ChunkWord(bits: original)
        }
    }

    @inlinable package func unpin(_ chunk: ChunkIndex) {
        word(chunk).pointee.subtract(ChunkWord.onePin, ordering: .releasing)
    }

    /// Changes a word by compare-and-swap until it sticks. For CacheActor.
    ///
    /// - Returns: the new word.
    @discardableResult
    package func update(_ chunk: ChunkIndex, _ change: (ChunkWord) -> ChunkWord) -> ChunkWord {
        let place = word(chunk)
        var seen = place.pointee.load(ordering: .acquiring)
        while true {
            let next = change(ChunkWord(bits: seen))
            let (exchanged, original) = place.pointee.compareExchange(
                expected: seen,
                desired: next.bits,
                ordering: .sequentiallyConsistent
            )
            if exchanged { return next }
            seen = original
        }
    }
}

extension ChunkTable {
    /// What of the table is in memory, in bytes. For status and tests; costs a walk over the mapping.
    package func residentBytes() throws(Errno) -> Int { try region.residentBytes() }
}
