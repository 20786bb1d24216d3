import HeapModule

/// What a cache could do that knows the future (Belady 1966): the chunk that is used again last goes first. Exact for
/// chunks of one size that must be brought in to be read.
enum Optimum {
    private struct Use: Comparable {
        /// Index of the chunk's next access.
        var next: Int
        var chunk: Int

        static func < (left: Use, right: Use) -> Bool { left.next < right.next }
    }

    static func hits(_ accesses: Accesses, cacheChunks: Int) -> Int {
        let order = accesses.order
        var nextOf = [Int](repeating: .max, count: order.count)
        var seenAt = [Int](repeating: .max, count: accesses.distinct)
        for index in order.indices.reversed() {
            nextOf[index] = seenAt[order[index]]
            seenAt[order[index]] = index
        }
        // The next access of each chunk in the cache, -1 for one that is not there.
        var resident = [Int](repeating: -1, count: accesses.distinct)
        var count = 0
        var hits = 0
        var heap = Heap<Use>()
        for (index, chunk) in order.enumerated() {
            if resident[chunk] >= 0 {
                hits += 1
            } else {
                if count == cacheChunks {
                    while let last = heap.popMax() {
                        // Entries of before the chunk's latest access are skipped.
                        guard resident[last.chunk] == last.next else { continue }
                        resident[last.chunk] = -1
                        break
                    }
                    count -= 1
                }
                count += 1
            }
            resident[chunk] = nextOf[index]
            heap.insert(Use(next: nextOf[index], chunk: chunk))
        }
        return hits
    }
}
