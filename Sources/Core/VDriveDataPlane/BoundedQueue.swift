internal import Synchronization

/// A bounded, lock-free queue for many producers and many consumers, of move-only elements.
///
/// Source of the algorithm: Dmitry Vyukov's bounded MPMC queue. Each cell has a turn: at turn `i` the producer of
/// position `i` may fill it, at `i + 1` the consumer of position `i` may empty it, then it is the producer's of `i +
/// capacity`. First in, first out; a full queue refuses and an empty one gives nil, neither ever waits.
package final class BoundedQueue<Element: ~Copyable>: @unchecked Sendable {
    // SAFETY: a cell's element is touched only by the thread that holds the cell's turn, which it won by a
    // compare-and-swap on `tail` or `head`; the turn's release store hands the element over.
    private let mask: Int
    private let turns: UnsafeMutablePointer<Atomic<Int>>
    private let cells: UnsafeMutablePointer<Element>
    /// Tail at 0, head at 16: a cache line (and its neighbour) apart.
    private let ends: UnsafeMutablePointer<Atomic<Int>>

    /// - Parameter capacity: elements, a power of two, at least 2.
    package init(capacity: Int) {
        precondition(capacity >= 2 && capacity & (capacity - 1) == 0, "capacity \(capacity) is no power of two")
        mask = capacity - 1
        turns = .allocate(capacity: capacity)
        cells = .allocate(capacity: capacity)
        ends = .allocate(capacity: 32)
        for index in 0..<capacity { (turns + index).initialize(to: Atomic(index)) }
        for index in 0..<32 { (ends + index).initialize(to: Atomic(0)) }
    }

    deinit {
        while pop() != nil {}
        turns.deallocate()
        cells.deallocate()
        ends.deallocate()
    }

    /// - Returns: nil when the element is in the queue; the element itself when the queue is full.
    package func push(_ element: consuming Element) -> Element? {
        var position = ends[0].load(ordering: .relaxed)
        while true {
            let turn = turns[position & mask].load(ordering: .acquiring)
            if turn == position {
                let (won, now) = ends[0].weakCompareExchange(
                    expected: position,
                    desired: position + 1,
                    ordering: .relaxed
                )
                guard won else {
                    position = now
                    continue
                }
                (cells + (position & mask)).initialize(to: element)
                turns[position & mask].store(position + 1, ordering: .releasing)
                return nil
            }
            if turn < position { return element }
            position = ends[0].load(ordering: .relaxed)
        }
    }

    package func pop() -> Element? {
        var position = ends[16].load(ordering: .relaxed)
        while true {
            let turn = turns[position & mask].load(ordering: .acquiring)
            if turn == position + 1 {
                let (won, now) = ends[16].weakCompareExchange(
                    expected: position,
                    desired: position + 1,
                    ordering: .relaxed
                )
                guard won else {
                    position = now
                    continue
                }
                let element = (cells + (position & mask)).move()
                turns[position & mask].store(position + mask + 1, ordering: .releasing)
                return element
            }
            if turn < position + 1 { return nil }
            position = ends[16].load(ordering: .relaxed)
        }
    }
}
