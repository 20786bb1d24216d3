package import Linux
package import Synchronization

/// The numbers of the page sets that changed since somebody asked last.
///
/// ## Notes on the design
/// A bit a slot, and over 64 of these words a word with a bit for each that may not be zero. Whoever inserts a slot
/// sees to both bits, also where another thread has set the first and not yet the second: when `insert` returns the
/// next `takeAll` finds the slot. A linked list cannot promise that: a thread that finds the slot taken by another one
/// would have to wait until that one has linked it in.
package struct ChangedSlots: Sendable {
    @usableFromInline let region: MappedRegion
    /// Words of the bits; those over them follow.
    @usableFromInline let wordCount: Int
    private let upperCount: Int

    /// - Parameter slotCount: the largest slot; costs address space only, a bit and a 64th.
    init(slotCount: Int) throws(Errno) {
        wordCount = slotCount / 64 + 1
        upperCount = (wordCount + 63) / 64
        region = try MappedRegion(byteCount: (wordCount + upperCount) * 8)
    }

    /// SAFETY: as in ChunkTable.word; `index` is below wordCount + upperCount, by the slots that PageSets has checked.
    @inlinable @inline(__always)
    func word(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        region.base.assumingMemoryBound(to: Atomic<UInt64>.self) + index
    }

    /// Lists a slot. From any thread; the changes that it stands for come first.
    @inlinable package func insert(_ slot: Int) {
        set(slot % 64, of: slot / 64)
        set(slot / 64 % 64, of: wordCount + slot / 64 / 64)
    }

    /// A bit that is set already is not written again: the words stay shared between the processors.
    @inlinable @inline(__always)
    func set(_ bit: Int, of index: Int) {
        let mask = UInt64(1) << UInt64(bit)
        // Sequentially consistent, as the exchanges of the taker: one of the two sees the other.
        if word(index).pointee.load(ordering: .sequentiallyConsistent) & mask != 0 { return }
        word(index).pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
    }

    /// Takes all slots off the list; one thread at a time.
    ///
    /// - Returns: in order.
    package func takeAll() -> [Int] {
        var slots: [Int] = []
        for upper in 0..<upperCount {
            for bit in take(wordCount + upper) {
                let index = upper * 64 + bit
                slots += take(index).map { index * 64 + $0 }
            }
        }
        return slots
    }

    /// The bits that were set in a word, which is zero then.
    private func take(_ index: Int) -> [Int] {
        if word(index).pointee.load(ordering: .sequentiallyConsistent) == 0 { return [] }
        var bits = word(index).pointee.exchange(0, ordering: .sequentiallyConsistent)
        var set: [Int] = []
        while bits != 0 {
            set.append(bits.trailingZeroBitCount)
            bits &= bits - 1
        }
        return set
    }
}
