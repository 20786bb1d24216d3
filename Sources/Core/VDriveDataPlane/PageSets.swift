package import Linux
package import Synchronization
package import VDriveModel

/// The page bitmaps of partial and dirty chunks.
///
/// ## Notes on the design
/// A slot is one stretch of a mapping without reserve:
///
///     word 0       epoch     of the dirty pages
///     word 1       chunk     index of the owner
///     word 2…      present   a bit a page
///     …            dirty     a bit a page
///     …            noted     a bit a page: it is in a record that LMDB has or gets, as present
///
/// CacheActor allocates and frees slots; a FUSE thread reads and sets bits only while it has the owner pinned, and a
/// slot is freed only while its owner is closing and unpinned. A bit is set after its bytes are in the cache file.
/// Slots whose bits changed since the last flush are bits, too (`ChangedSlots`). A writer lists its slot for every page
/// that is not noted yet, also where another has set the bits: that one may not have come to listing it.
package struct PageSets: Sendable {
    @usableFromInline let region: MappedRegion
    @usableFromInline let wordsPerSet: Int
    @usableFromInline let wordsPerSlot: Int
    @usableFromInline let pagesPerChunk: Int
    @usableFromInline let changed: ChangedSlots
    package let slotCount: Int

    /// - Parameter slotCount: 1…`ChunkWord.slotsMax`; costs address space only.
    package init(pagesPerChunk: Int, slotCount: Int) throws(Errno) {
        precondition((1...ChunkWord.slotsMax).contains(slotCount), "slot count \(slotCount)")
        self.pagesPerChunk = pagesPerChunk
        self.slotCount = slotCount
        wordsPerSet = (pagesPerChunk + 63) / 64
        wordsPerSlot = (Self.firstSet + 3 * wordsPerSet + 7) / 8 * 8
        changed = try ChangedSlots(slotCount: slotCount)
        region = try MappedRegion(byteCount: (slotCount + 1) * wordsPerSlot * 8)
    }

    /// Index of the word where the first set begins.
    @usableFromInline static let firstSet = 2
    @inlinable var presentSet: Int { Self.firstSet }
    @inlinable var dirtySet: Int { Self.firstSet + wordsPerSet }
    @inlinable var notedSet: Int { Self.firstSet + 2 * wordsPerSet }

    /// SAFETY: as in ChunkTable.word; `slot` is in 1…slotCount, checked here.
    @inlinable @inline(__always)
    func word(_ slot: Int, _ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(slot > 0 && slot <= slotCount, "no such slot")
        return region.base.assumingMemoryBound(to: Atomic<UInt64>.self) + (slot * wordsPerSlot + index)
    }

    @inlinable package func epoch(_ slot: Int) -> Epoch {
        Epoch(word(slot, 0).pointee.load(ordering: .sequentiallyConsistent))
    }

    package func setEpoch(_ slot: Int, _ epoch: Epoch) {
        word(slot, 0).pointee.store(epoch.rawValue, ordering: .sequentiallyConsistent)
    }

    package func chunk(_ slot: Int) -> ChunkIndex {
        ChunkIndex(word(slot, 1).pointee.load(ordering: .relaxed))
    }

    /// Makes a slot ready for a chunk. For CacheActor; nobody else knows the slot yet.
    package func reset(_ slot: Int, chunk: ChunkIndex, epoch: Epoch, present: PageSet, dirty: PageSet) {
        setEpoch(slot, epoch)
        word(slot, 1).pointee.store(chunk.rawValue, ordering: .relaxed)
        store(slot, first: presentSet, present)
        store(slot, first: dirtySet, dirty)
        store(slot, first: notedSet, PageSet(pageCount: pagesPerChunk))
    }

    private func store(_ slot: Int, first: Int, _ set: PageSet) {
        for index in 0..<wordsPerSet {
            word(slot, first + index).pointee.store(set.words[index], ordering: .releasing)
        }
    }

    package func present(_ slot: Int) -> PageSet { load(slot, first: presentSet) }
    package func dirty(_ slot: Int) -> PageSet { load(slot, first: dirtySet) }

    private func load(_ slot: Int, first: Int) -> PageSet {
        var set = PageSet(pageCount: pagesPerChunk)
        for index in 0..<wordsPerSet {
            // Sequentially consistent: a flush takes the slot off the list and then reads the bits (see takeChanged).
            set.words[index] = word(slot, first + index).pointee.load(ordering: .sequentiallyConsistent)
        }
        return set
    }

    package func setDirty(_ slot: Int, _ set: PageSet) { store(slot, first: dirtySet, set) }

    /// A record of these pages is with LMDB, or on its way there. For CacheActor.
    package func setNoted(_ slot: Int, _ set: PageSet) { store(slot, first: notedSet, set) }

    /// Whether a record speaks of every page of the range.
    @inlinable package func hasNoted(_ slot: Int, _ pages: Range<Int>) -> Bool {
        unset(slot, first: notedSet, pages) == 0
    }

    /// Whether every page of the range is present.
    @inlinable package func hasPresent(_ slot: Int, _ pages: Range<Int>) -> Bool {
        absent(slot, pages) == 0
    }

    /// How many pages of the range are not present.
    @inlinable package func absent(_ slot: Int, _ pages: Range<Int>) -> Int { unset(slot, first: presentSet, pages) }

    /// How many pages of the range are not dirty.
    @inlinable package func clean(_ slot: Int, _ pages: Range<Int>) -> Int {
        unset(slot, first: dirtySet, pages)
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
            word(slot, presentSet + index).pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
            if dirty {
                let before = word(slot, dirtySet + index).pointee
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

    /// Puts a slot on the list of those that changed. Call it after the bits are set.
    @inlinable package func noteChanged(_ slot: Int) {
        precondition(slot > 0 && slot <= slotCount, "no such slot")
        changed.insert(slot)
    }

    /// Takes the changed slots. A slot is off the list before its bits are read, so that a change during the reading
    /// lists it again. One taker at a time (CacheActor).
    package func takeChanged() -> [Int] { changed.takeAll() }
}
