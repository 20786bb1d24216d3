package import Linux
package import Synchronization
package import VDriveModel

/// The page bitmaps of partial and dirty chunks.
///
/// ## Notes on the design
/// A slot is one stretch of a mapping without reserve:
///
///     word 0       epoch     of the dirty pages
///     word 1       listed    1 while the slot is on the changed list, the next slot's number shifted left by one above
///     word 2       chunk     index of the owner
///     word 3…      present   a bit a page
///     …            dirty     a bit a page
///
/// CacheActor allocates and frees slots; a FUSE thread reads and sets bits only while it has the owner pinned, and a
/// slot is freed only while its owner is closing and unpinned. A bit is set after its bytes are in the cache file.
/// Slots whose bits changed since the last flush hang on a list that many threads push to and one takes whole.
package struct PageSets: Sendable {
    @usableFromInline let region: MappedRegion
    @usableFromInline let wordsPerSet: Int
    @usableFromInline let wordsPerSlot: Int
    @usableFromInline let pagesPerChunk: Int
    package let slotCount: Int

    /// - Parameter slotCount: 1…`ChunkWord.slotsMax`; costs address space only.
    package init(pagesPerChunk: Int, slotCount: Int) throws(Errno) {
        precondition((1...ChunkWord.slotsMax).contains(slotCount), "slot count \(slotCount)")
        self.pagesPerChunk = pagesPerChunk
        self.slotCount = slotCount
        wordsPerSet = (pagesPerChunk + 63) / 64
        wordsPerSlot = (3 + 2 * wordsPerSet + 7) / 8 * 8
        region = try MappedRegion(byteCount: (slotCount + 1) * wordsPerSlot * 8)
    }

    /// SAFETY: as in ChunkTable.word; `slot` is in 0…slotCount, checked here. Slot 0 is the head of the changed list.
    @inlinable @inline(__always)
    func word(_ slot: Int, _ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(slot >= 0 && slot <= slotCount, "no such slot")
        return region.base.assumingMemoryBound(to: Atomic<UInt64>.self) + (slot * wordsPerSlot + index)
    }

    @inlinable package func epoch(_ slot: Int) -> Epoch {
        Epoch(word(slot, 0).pointee.load(ordering: .sequentiallyConsistent))
    }

    package func setEpoch(_ slot: Int, _ epoch: Epoch) {
        word(slot, 0).pointee.store(epoch.rawValue, ordering: .sequentiallyConsistent)
    }

    package func chunk(_ slot: Int) -> ChunkIndex {
        ChunkIndex(word(slot, 2).pointee.load(ordering: .relaxed))
    }

    /// Makes a slot ready for a chunk. For CacheActor; nobody else knows the slot yet.
    package func reset(_ slot: Int, chunk: ChunkIndex, epoch: Epoch, present: PageSet, dirty: PageSet) {
        setEpoch(slot, epoch)
        word(slot, 2).pointee.store(chunk.rawValue, ordering: .relaxed)
        store(slot, first: 3, present)
        store(slot, first: 3 + wordsPerSet, dirty)
    }

    private func store(_ slot: Int, first: Int, _ set: PageSet) {
        for index in 0..<wordsPerSet {
            word(slot, first + index).pointee.store(set.words[index], ordering: .releasing)
        }
    }

    package func present(_ slot: Int) -> PageSet { load(slot, first: 3) }
    package func dirty(_ slot: Int) -> PageSet { load(slot, first: 3 + wordsPerSet) }

    private func load(_ slot: Int, first: Int) -> PageSet {
        var set = PageSet(pageCount: pagesPerChunk)
        for index in 0..<wordsPerSet {
            // Sequentially consistent: a flush clears `listed` and then reads the bits (see takeChanged).
            set.words[index] = word(slot, first + index).pointee.load(ordering: .sequentiallyConsistent)
        }
        return set
    }

    package func setDirty(_ slot: Int, _ set: PageSet) { store(slot, first: 3 + wordsPerSet, set) }

    /// Whether every page of the range is present.
    @inlinable package func hasPresent(_ slot: Int, _ pages: Range<Int>) -> Bool {
        absent(slot, pages) == 0
    }

    /// How many pages of the range are not present.
    @inlinable package func absent(_ slot: Int, _ pages: Range<Int>) -> Int { unset(slot, first: 3, pages) }

    /// How many pages of the range are not dirty.
    @inlinable package func clean(_ slot: Int, _ pages: Range<Int>) -> Int {
        unset(slot, first: 3 + wordsPerSet, pages)
    }

    @inlinable func unset(_ slot: Int, first: Int, _ pages: Range<Int>) -> Int {
        var count = 0
        var page = pages.lowerBound
        while page < pages.upperBound {
            let (index, mask) = Self.mask(from: page, to: pages.upperBound)
            let bits = word(slot, first + index).pointee.load(ordering: .acquiring)
            count += (~bits & mask).nonzeroBitCount
            page = (index + 1) * 64
        }
        return count
    }

    /// Notes pages whose bytes are in the cache file: present, and dirty when they were written.
    ///
    /// - Returns: how many were not dirty before; 0 when `dirty` is false.
    @discardableResult
    @inlinable package func insert(_ slot: Int, _ pages: Range<Int>, dirty: Bool) -> Int {
        var newlyDirty = 0
        var page = pages.lowerBound
        while page < pages.upperBound {
            let (index, mask) = Self.mask(from: page, to: pages.upperBound)
            word(slot, 3 + index).pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
            if dirty {
                let before = word(slot, 3 + wordsPerSet + index).pointee
                    .bitwiseOr(mask, ordering: .sequentiallyConsistent).oldValue
                newlyDirty += (~before & mask).nonzeroBitCount
            }
            page = (index + 1) * 64
        }
        return newlyDirty
    }

    @inlinable static func mask(from page: Int, to end: Int) -> (index: Int, mask: UInt64) {
        let index = page / 64
        let low = page % 64
        let high = min(64, end - index * 64)
        let upper = high == 64 ? ~UInt64(0) : (UInt64(1) << UInt64(high)) - 1
        return (index, upper & ~((UInt64(1) << UInt64(low)) - 1))
    }

    /// Puts a slot on the changed list, once. Call it after the bits are set.
    @inlinable package func noteChanged(_ slot: Int) {
        // Any value other than 0 says "listed"; the link is the previous head, shifted, with bit 0 set.
        let link = word(slot, 1)
        guard
            link.pointee.compareExchange(expected: 0, desired: 1, ordering: .sequentiallyConsistent).exchanged
        else { return }
        let head = word(0, 0)
        var first = head.pointee.load(ordering: .acquiring)
        while true {
            link.pointee.store(first << 1 | 1, ordering: .releasing)
            let (exchanged, original) = head.pointee.weakCompareExchange(
                expected: first,
                desired: UInt64(slot),
                ordering: .acquiringAndReleasing
            )
            if exchanged { return }
            first = original
        }
    }

    /// Takes the changed slots. A slot is off the list before its bits are read, so that a change during the reading
    /// lists it again. One taker at a time (CacheActor).
    package func takeChanged() -> [Int] {
        var slots: [Int] = []
        var slot = Int(word(0, 0).pointee.exchange(0, ordering: .acquiringAndReleasing))
        while slot != 0 {
            slots.append(slot)
            // The exchange to 0 comes before the reader loads the bits.
            slot = Int(word(slot, 1).pointee.exchange(0, ordering: .sequentiallyConsistent) >> 1)
        }
        return slots
    }
}
