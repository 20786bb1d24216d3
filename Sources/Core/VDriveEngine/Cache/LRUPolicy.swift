internal import HeapModule
package import VDriveModel

/// Least recently used, exactly: a heap by the access ticks that were known when a chunk was filed, corrected when it
/// comes to the top. A tick only grows, so a filed tick is a lower bound and the first chunk whose filed tick is still
/// true is the least recently used one. Equal ticks leave in the order in which they were filed.
package struct LRUPolicy: EvictionPolicy {
    private struct Filed: Comparable {
        var tick: UInt64
        var chunk: ChunkIndex
        /// Tells a chunk's present filing from one that was left in the heap.
        var filing: UInt64

        static func < (left: Filed, right: Filed) -> Bool {
            (left.tick, left.filing) < (right.tick, right.filing)
        }
    }

    private var heap = Heap<Filed>()
    private var filings: [ChunkIndex: UInt64] = [:]
    private var filed: UInt64 = 0

    package init() {}

    package var count: Int { filings.count }
    package var chunks: [ChunkIndex] { Array(filings.keys) }

    package mutating func admit(_ chunk: ChunkIndex, pages: Int, tick: UInt64) {
        guard filings[chunk] == nil else { return }
        filed += 1
        filings[chunk] = filed
        heap.insert(Filed(tick: tick, chunk: chunk, filing: filed))
    }

    package mutating func adopt(_ chunk: ChunkIndex, pages: Int, tick: UInt64) {
        admit(chunk, pages: pages, tick: tick)
    }

    package mutating func suspend(_ chunk: ChunkIndex) { remove(chunk) }

    package mutating func remove(_ chunk: ChunkIndex) {
        filings[chunk] = nil
        // Filings left behind are skipped when they come up; now and then they are swept.
        if heap.count > 64, heap.count > 4 * filings.count {
            heap = Heap(heap.unordered.filter { filings[$0.chunk] == $0.filing })
        }
    }

    package mutating func next(
        lastAccess: (ChunkIndex) -> UInt64,
        takeUses: (ChunkIndex) -> Int
    ) -> ChunkIndex? {
        while let first = heap.popMin() {
            guard filings[first.chunk] == first.filing else { continue }
            let tick = lastAccess(first.chunk)
            if tick <= first.tick {
                filings[first.chunk] = nil
                return first.chunk
            }
            heap.insert(Filed(tick: tick, chunk: first.chunk, filing: first.filing))
        }
        return nil
    }

    package mutating func evicted(_ chunk: ChunkIndex) { remove(chunk) }

    package mutating func resize(newPagesMin: Int) {}
}
