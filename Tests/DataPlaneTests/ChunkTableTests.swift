import Foundation
import Linux
import Synchronization
import Testing
import VDriveDataPlane
import VDriveModel

@Suite struct ChunkTableTests {
    @Test("fields of a word do not touch each other")
    func word() {
        let word = ChunkWord(presence: .partial, dirty: true, slot: 0xABCDEF, tick: 0x12345)
        #expect(word.presence == .partial && word.isDirty && word.slot == 0xABCDEF && word.tick == 0x12345)
        #expect(!word.isClosing && !word.isMarked && word.pins == 0 && word.uses == 0)
        let pinned = word.marked(true).pinned(tick: 0xF_FFFF).pinned(tick: 7)
        #expect(pinned.pins == 2 && pinned.uses == 1 && pinned.tick == 7 && !pinned.isMarked)
        #expect(pinned.slot == 0xABCDEF && pinned.isDirty && pinned.presence == .partial)
        let next = pinned.closing(true).becoming(.full, dirty: false, slot: 0)
        #expect(next.isClosing && next.pins == 2 && next.presence == .full && !next.isDirty && next.slot == 0)
        #expect(ChunkWord(bits: 0).presence == .unknown)
    }

    @Test("accesses of one period are one use, and what was read ahead begins with its first access")
    func uses() {
        let period = ChunkWord.ticksPerPeriod
        let word = ChunkWord(presence: .full, tick: 5).begun(tick: period + 3)
        #expect(word.uses == 0 && word.tick == period + 3 && word.presence == .full)
        var later = word
        for tick in period..<2 * period { later = later.accessed(tick: tick) }
        #expect(later.uses == 0)
        later = later.accessed(tick: 2 * period).accessed(tick: 3 * period - 1).accessed(tick: 3 * period)
        #expect(later.uses == 2)
        later = later.accessed(tick: 4 * period).accessed(tick: 5 * period).accessed(tick: 6 * period)
        #expect(later.uses == 3 && later.pins == 0 && later.tick == 6 * period)
        #expect(later.withoutUses().uses == 0 && later.withoutUses().tick == later.tick)
        #expect(later.begun(tick: 1).uses == 0)
        // A full turn of the 20 bits is the same period again; anything else is another one.
        #expect(word.accessed(tick: ChunkWord.tickMask + 1 + period).uses == 0)
        let ahead = word.marked(true).accessed(tick: 9 * period)
        #expect(ahead.uses == 0 && ahead.tick == 9 * period)
        #expect(ahead.accessed(tick: 10 * period).uses == 1)
        #expect(word.marked(true).pinned(tick: 9 * period).bits == ahead.bits + 256)
    }

    @Test("a table of a 1 PiB disk costs address space only")
    func sparse() throws {
        let table = try ChunkTable(chunkCount: 1 << 28)
        let last = ChunkIndex(1 << 28 - 1)
        table.update(last) { $0.becoming(.full, dirty: false, slot: 0) }
        #expect(table.load(last).presence == .full)
        #expect(try table.residentBytes() < 1 << 20)
    }

    @Test("pins, closing and state changes of many threads keep the count")
    func pinStress() async throws {
        let table = try ChunkTable(chunkCount: 4)
        let chunk = ChunkIndex(1)
        table.update(chunk) { $0.becoming(.full, dirty: false, slot: 0) }
        let inside = Atomic<Int>(0)
        let isClosed = Atomic<Bool>(false)
        let threads = (0..<4).map { number in
            NamedThread.start("pin-\(number)") {
                for round in 0..<20_000 {
                    guard table.pin(chunk, writing: false, tick: UInt64(round)) != nil else {
                        sched_yield()
                        continue
                    }
                    inside.add(1, ordering: .sequentiallyConsistent)
                    precondition(!isClosed.load(ordering: .sequentiallyConsistent), "pinned while closed")
                    inside.subtract(1, ordering: .sequentiallyConsistent)
                    table.unpin(chunk)
                }
            }
        }
        for _ in 0..<500 {
            while table.update(chunk, { $0.closing(true) }).pins > 0 { sched_yield() }
            isClosed.store(true, ordering: .sequentiallyConsistent)
            #expect(inside.load(ordering: .sequentiallyConsistent) == 0)
            isClosed.store(false, ordering: .sequentiallyConsistent)
            table.update(chunk) { $0.closing(false) }
            sched_yield()
        }
        for thread in threads { thread.join() }
        #expect(table.load(chunk).pins == 0)
    }

    @Test("a changed slot is listed once, and again after it was taken")
    func changedList() throws {
        let sets = try PageSets(pagesPerChunk: 1024, slotCount: 100)
        let none = PageSet(pageCount: 1024)
        for slot in 1...3 { sets.reset(slot, chunk: ChunkIndex(9), epoch: Epoch(1), present: none, dirty: none) }
        for slot in [1, 2, 2, 3, 1] { sets.noteChanged(slot) }
        #expect(sets.takeChanged().sorted() == [1, 2, 3])
        #expect(sets.takeChanged().isEmpty)
        sets.noteChanged(2)
        #expect(sets.takeChanged() == [2])
    }

    @Test("no change is missed by a taker that runs beside the writers")
    func changedStress() throws {
        let sets = try PageSets(pagesPerChunk: 1024, slotCount: 8)
        let none = PageSet(pageCount: 1024)
        for slot in 1...8 { sets.reset(slot, chunk: ChunkIndex(0), epoch: Epoch(1), present: none, dirty: none) }
        let running = Atomic<Int>(4)
        let writers = (0..<4).map { number in
            NamedThread.start("change-\(number)") {
                for page in 0..<1024 {
                    let slot = (page &* 7 &+ number) % 8 + 1
                    sets.insert(slot, page..<page + 1, dirty: true)
                    sets.noteChanged(slot)
                }
                running.subtract(1, ordering: .sequentiallyConsistent)
            }
        }
        var recorded = [Int: PageSet]()
        while true {
            let isLast = running.load(ordering: .sequentiallyConsistent) == 0
            for slot in sets.takeChanged() { recorded[slot] = sets.dirty(slot) }
            if isLast { break }
        }
        for writer in writers { writer.join() }
        for slot in 1...8 { #expect((recorded[slot] ?? none) == sets.dirty(slot)) }
    }

    @Test("who was told that its slot is listed finds it on the list, also when another was just listing it")
    func listedByAnother() throws {
        let sets = try PageSets(pagesPerChunk: 64, slotCount: 200)
        let none = PageSet(pageCount: 64)
        sets.reset(130, chunk: ChunkIndex(0), epoch: Epoch(1), present: none, dirty: none)
        let isOver = Atomic(false)
        let other = NamedThread.start("change") {
            while !isOver.load(ordering: .relaxed) { sets.noteChanged(130) }
        }
        var missed = 0
        for _ in 0..<300_000 {
            sets.noteChanged(130)
            if sets.takeChanged() != [130] { missed += 1 }
        }
        isOver.store(true, ordering: .relaxed)
        other.join()
        #expect(missed == 0)
    }

    @Test("slots are listed one by one, whatever their number")
    func changedSlots() throws {
        let sets = try PageSets(pagesPerChunk: 64, slotCount: 20_000)
        let slots = [1, 63, 64, 65, 4095, 4096, 4097, 12_345, 20_000]
        for slot in slots.shuffled() { sets.noteChanged(slot) }
        #expect(sets.takeChanged() == slots)
        #expect(sets.takeChanged().isEmpty)
    }

    @Test("page ranges are counted and inserted over word borders")
    func ranges() throws {
        let sets = try PageSets(pagesPerChunk: 1024, slotCount: 2)
        let none = PageSet(pageCount: 1024)
        sets.reset(1, chunk: ChunkIndex(0), epoch: Epoch(1), present: none, dirty: none)
        #expect(sets.insert(1, 60..<200, dirty: true) == 140)
        #expect(sets.insert(1, 0..<1024, dirty: false) == 0)
        #expect(sets.hasPresent(1, 0..<1024))
        #expect(sets.clean(1, 0..<1024) == 1024 - 140)
        #expect(sets.dirty(1).runs == [60..<200])
        #expect(sets.insert(1, 0..<64, dirty: true) == 60)
    }
}
