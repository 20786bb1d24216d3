/// A set of the pages of one chunk, as bits: page i is bit i % 64 of word i / 64.
package struct PageSet: Hashable, Sendable {
    package let pageCount: Int
    package var words: [UInt64]

    package init(pageCount: Int) {
        self.pageCount = pageCount
        words = Array(repeating: 0, count: (pageCount + 63) / 64)
    }

    /// Every page.
    package init(full pageCount: Int) {
        self.init(pageCount: pageCount)
        insert(0..<pageCount)
    }

    package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
    package var isFull: Bool { count == pageCount }
    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    package func contains(_ page: Int) -> Bool { words[page / 64] >> UInt64(page % 64) & 1 == 1 }

    package mutating func insert(_ pages: Range<Int>) {
        forEachWord(of: pages) { words, index, mask in words[index] |= mask }
    }

    package mutating func remove(_ pages: Range<Int>) {
        forEachWord(of: pages) { words, index, mask in words[index] &= ~mask }
    }

    /// Calls a body with each word that some pages have bits in, and with those bits.
    private mutating func forEachWord(of pages: Range<Int>, _ body: (inout [UInt64], Int, UInt64) -> Void) {
        precondition(pages.lowerBound >= 0 && pages.upperBound <= pageCount, "\(pages) of \(pageCount) pages")
        guard !pages.isEmpty else { return }
        let first = pages.lowerBound / 64
        let last = (pages.upperBound - 1) / 64
        for index in first...last {
            let low = index == first ? UInt64.max << UInt64(pages.lowerBound % 64) : .max
            let high = index == last ? UInt64.max >> UInt64(63 - (pages.upperBound - 1) % 64) : .max
            body(&words, index, low & high)
        }
    }

    package mutating func formUnion(_ other: PageSet) {
        for index in words.indices { words[index] |= other.words[index] }
    }

    package func union(_ other: PageSet) -> PageSet {
        var set = self
        set.formUnion(other)
        return set
    }

    package func intersection(_ other: PageSet) -> PageSet {
        var set = self
        for index in words.indices { set.words[index] &= other.words[index] }
        return set
    }

    package func subtracting(_ other: PageSet) -> PageSet {
        var set = self
        for index in words.indices { set.words[index] &= ~other.words[index] }
        return set
    }

    package var inverse: PageSet {
        var set = PageSet(full: pageCount)
        for index in words.indices { set.words[index] &= ~words[index] }
        return set
    }

    /// The set as maximal runs, in order.
    package var runs: [Range<Int>] {
        var runs: [Range<Int>] = []
        var page = 0
        while page < pageCount {
            let word = words[page / 64] >> UInt64(page % 64)
            if word == 0 {
                page = (page / 64 + 1) * 64
                continue
            }
            let first = page + word.trailingZeroBitCount
            var end = first
            while end < pageCount {
                let ones = (~(words[end / 64] >> UInt64(end % 64))).trailingZeroBitCount
                end += ones
                // It goes on in the next word, or ends.
                if ones == 0 || end % 64 != 0 { break }
            }
            runs.append(first..<end)
            page = end
        }
        return runs
    }
}
