import Testing
import VDriveModel

@testable import VDriveEngine

@Suite struct ReadAheadTests {
    /// 256 chunks of 32 frames of 32 pages.
    private let geometry = try! DiskGeometry(diskBytes: 1 << 30, chunkBytes: 4 << 20)
    private static let framesTotal = 8192
    private static let limit = 128

    /// A reader of whole frames, counted over the disk.
    private func read(_ state: inout ReadAhead, _ frames: Range<Int>, limit: Int = limit) {
        var at = frames.lowerBound
        while at < frames.upperBound {
            let chunk = at / 32
            let end = min(frames.upperBound, (chunk + 1) * 32)
            state.miss(ChunkIndex(UInt64(chunk)), pages: (at - chunk * 32) * 32..<(end - chunk * 32) * 32, limit: limit)
            at = end
        }
    }

    /// All that is wanted, in the order in which it is given out, as frames of the disk.
    private func drain(_ state: inout ReadAhead, upTo count: Int = 32) -> [Int] {
        var frames: [Int] = []
        while let piece = state.take(upTo: count) {
            #expect(!piece.frames.isEmpty && piece.frames.upperBound <= 32 && piece.frames.count <= count)
            frames += piece.frames.map { Int(piece.chunk.rawValue) * 32 + $0 }
        }
        return frames
    }

    // MARK: Who is sequential

    @Test("random readers fetch nothing ahead")
    func random() {
        var state = ReadAhead(geometry: geometry)
        for chunk in [9, 200, 3, 77, 150, 20, 9, 201] as [UInt64] {
            state.miss(ChunkIndex(chunk), pages: 700..<701, limit: Self.limit)
            #expect(!state.wantsMore)
        }
    }

    @Test("small random reads of a gigabyte cost next to nothing beside the frame that each needs")
    func randomCrowd() {
        var state = ReadAhead(geometry: geometry)
        var generator = SeededGenerator(seed: 5)
        var ahead = 0
        let reads = 10_000
        for _ in 0..<reads {
            let page = Int.random(in: 0..<Self.framesTotal * 32, using: &generator)
            state.miss(ChunkIndex(UInt64(page / 1024)), pages: page % 1024..<page % 1024 + 1, limit: Self.limit)
            ahead += drain(&state).count
        }
        #expect(Double(ahead) / Double(reads) < 0.03, "\(ahead) frames ahead of \(reads) reads")
    }

    @Test("a reader is known again where it waits for what is fetched for it, and at the end of that")
    func knownAgain() {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<4 { read(&state, step * 8..<step * 8 + 8) }
        #expect(drain(&state) == Array(32..<96))
        // A stray miss in between is nobody's.
        state.miss(ChunkIndex(2), pages: 0..<32, limit: Self.limit)
        #expect(!state.wantsMore)
        state.miss(ChunkIndex(2), pages: 0..<32, isUnderWay: true, limit: Self.limit)
        #expect(drain(&state) == Array(96..<193))
        read(&state, 193..<194)
        #expect(drain(&state) == Array(194..<322))
    }

    @Test("a reader of small pieces comes into a frame at its edge, a random one anywhere")
    func edges() {
        for (page, isFollowed) in [(32, true), (36, true), (37, false), (63, false)] {
            var state = ReadAhead(geometry: geometry)
            state.miss(ChunkIndex(5), pages: 31..<32, limit: Self.limit)
            state.miss(ChunkIndex(5), pages: page..<page + 1, limit: Self.limit)
            #expect(state.wantsMore == isFollowed)
            // The next one at the edge is no worse for it.
            state.miss(ChunkIndex(5), pages: 32..<33, limit: Self.limit)
            #expect(state.wantsMore)
        }
        for (page, isFollowed) in [(31, true), (27, true), (26, false), (0, false)] {
            var state = ReadAhead(geometry: geometry)
            state.miss(ChunkIndex(5), pages: 32..<33, limit: Self.limit)
            state.miss(ChunkIndex(5), pages: page..<page + 1, limit: Self.limit)
            #expect(state.wantsMore == isFollowed)
        }
    }

    @Test("a second read of the same frame is no direction")
    func sameFrame() {
        var state = ReadAhead(geometry: geometry)
        for page in 0..<32 { state.miss(ChunkIndex(5), pages: page..<page + 1, limit: Self.limit) }
        #expect(!state.wantsMore)
        state.miss(ChunkIndex(5), pages: 32..<33, limit: Self.limit)
        #expect(drain(&state) == [162, 163])
    }

    @Test("a window doubles with the reader, does not repeat itself, and ends with the disk", arguments: [1, 8])
    func forward(request: Int) {
        var state = ReadAhead(geometry: geometry)
        var asked: [Int] = []
        var next = 0
        read(&state, 0..<request)
        #expect(!state.wantsMore)
        var window = request
        while next + request < Self.framesTotal {
            next += request
            read(&state, next..<next + request)
            window = min(window * 2, Self.limit)
            asked += drain(&state)
            #expect(asked.last == min(next + request + window, Self.framesTotal) - 1)
        }
        #expect(asked == Array(2 * request..<Self.framesTotal))
    }

    @Test("a backward reader gets the same, down to the disk's start", arguments: [1, 8])
    func backward(request: Int) {
        var state = ReadAhead(geometry: geometry)
        var asked: Set<Int> = []
        var next = Self.framesTotal - request
        read(&state, next..<Self.framesTotal)
        while next > 0 {
            next -= request
            read(&state, next..<next + request)
            for frame in drain(&state) { #expect(frame < next && asked.insert(frame).inserted) }
        }
        #expect(asked.count == Self.framesTotal - 2 * request && asked.min() == 0)
    }

    @Test("a backward reader's pieces come from its side first")
    func backwardOrder() {
        var state = ReadAhead(geometry: geometry)
        read(&state, 100..<104)
        read(&state, 96..<100)
        #expect(state.take(upTo: 4) == ReadAhead.Piece(chunk: ChunkIndex(2), frames: 28..<32))
        #expect(state.take(upTo: 4) == ReadAhead.Piece(chunk: ChunkIndex(2), frames: 24..<28))
        #expect(state.take(upTo: 4) == nil)
    }

    @Test("large requests that come out of order are one reader")
    func outOfOrder() {
        var state = ReadAhead(geometry: geometry)
        var asked: [Int] = []
        for request in [0, 2, 1, 3, 5, 4, 6, 8, 7, 10, 9, 11] {
            read(&state, request * 8..<request * 8 + 8)
            asked += drain(&state)
        }
        #expect(state.streamCount == 1)
        #expect(asked.count > 64 && Set(asked).count == asked.count)
    }

    @Test("a reader whose requests are cut in two, the halves in either order, is followed in its own direction")
    func turned() {
        for (isBackward, highFirst) in [(true, false), (true, true), (false, false), (false, true)] {
            var state = ReadAhead(geometry: geometry)
            var asked: [Int] = []
            for step in 0..<64 {
                let at = isBackward ? 4000 - step * 8 : 4000 + step * 8
                let halves = [at..<at + 4, at + 4..<at + 8]
                for half in highFirst ? halves.reversed() : halves { read(&state, half) }
                asked += drain(&state)
            }
            let end = isBackward ? 4000 - 63 * 8 - Self.limit : 4000 + 64 * 8 + Self.limit - 1
            #expect((isBackward ? asked.min() : asked.max()) == end)
            // But for the first guess all is on the reader's way.
            #expect(asked.count { isBackward ? $0 >= 4000 : $0 < 4008 } <= 16)
            #expect(state.streamCount == 1)
        }
    }

    @Test("sixteen interleaved readers keep windows of their own, and take turns", arguments: [false, true])
    func interleaved(backward: Bool) {
        var state = ReadAhead(geometry: geometry)
        let starts = (0..<16).map { 64 + $0 * 512 }
        for round in 0..<4 {
            for start in starts {
                let at = backward ? start - round * 4 : start + round * 4
                read(&state, at..<at + 4, limit: 16)
            }
        }
        #expect(state.streamCount == 16)
        var turns: [Int] = []
        while let piece = state.take(upTo: 4) { turns.append(Int(piece.chunk.rawValue) / 16) }
        // Each has 16 frames to come: four pieces, one a turn.
        #expect(turns.count == 64)
        for turn in 0..<4 { #expect(Set(turns[turn * 16..<turn * 16 + 16]) == Set(0..<16)) }
    }

    @Test("the crowd of random readers does not push a sequential one out")
    func crowd() {
        var state = ReadAhead(geometry: geometry)
        var generator = SeededGenerator(seed: 9)
        read(&state, 0..<8)
        read(&state, 8..<16)
        for step in 2..<20 {
            for _ in 0..<50 {
                let chunk = UInt64.random(in: 100..<256, using: &generator)
                state.miss(ChunkIndex(chunk), pages: 77..<78, limit: Self.limit)
            }
            read(&state, step * 8..<step * 8 + 8)
            _ = drain(&state)
        }
        read(&state, 160..<168)
        #expect(drain(&state) == Array(288..<296))
    }

    // MARK: Marks

    @Test("the first hit on a chunk that was fetched ahead moves the window on")
    func reached() {
        var state = ReadAhead(geometry: geometry)
        read(&state, 0..<32)
        read(&state, 32..<64)
        #expect(drain(&state) == Array(64..<128))
        state.reached(ChunkIndex(2), limit: Self.limit)
        #expect(drain(&state) == Array(128..<192))
        state.reached(ChunkIndex(3), limit: Self.limit)
        #expect(drain(&state) == Array(192..<224))
        state.reached(ChunkIndex(200), limit: Self.limit)
        #expect(!state.wantsMore)
    }

    @Test("a backward reader's marks move its window too")
    func reachedBackward() {
        var state = ReadAhead(geometry: geometry)
        read(&state, 320..<352)
        read(&state, 288..<320)
        #expect(drain(&state).min() == 224)
        state.reached(ChunkIndex(8), limit: Self.limit)
        #expect(drain(&state).min() == 160)
    }

    // MARK: What ends it

    @Test("a reader that jumps and goes on there drops what its old stream had not begun")
    func jump() {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<5 { read(&state, step * 8..<step * 8 + 8) }
        let begun = state.take(upTo: 4)
        #expect(begun != nil && state.wantsMore)
        read(&state, 4000..<4008)
        read(&state, 4008..<4016)
        #expect(drain(&state) == Array(4016..<4032))
    }

    @Test("a stream that shows life while another begins keeps what it wants")
    func noJump() {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<5 { read(&state, step * 8..<step * 8 + 8) }
        read(&state, 4000..<4008)
        read(&state, 40..<48)
        read(&state, 4008..<4016)
        #expect(Set(drain(&state)).isSuperset(of: Array(48..<176) + Array(4016..<4032)))
    }

    @Test("a reader that goes on at random is given up after a while, and comes back with its next sign of life")
    func silence() {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<3 { read(&state, step * 8..<step * 8 + 8) }
        for step in 0..<65 { state.miss(ChunkIndex(UInt64(100 + step * 2)), pages: 5..<6, limit: Self.limit) }
        #expect(!state.wantsMore && state.take(upTo: 4) == nil)
        read(&state, 24..<32)
        #expect(drain(&state).first == 32)
    }

    @Test("no room: what is wanted is dropped until the reader shows life")
    func noRoom() {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<3 { read(&state, step * 8..<step * 8 + 8) }
        state.dropAll()
        #expect(!state.wantsMore)
        read(&state, 24..<32)
        #expect(state.wantsMore)
    }

    @Test("the window never passes the limit, whatever it is", arguments: [0, 1, 3, 17, 512])
    func limits(limit: Int) {
        var state = ReadAhead(geometry: geometry)
        for step in 0..<200 {
            read(&state, step * 8..<step * 8 + 8, limit: limit)
            for frame in drain(&state) { #expect(frame < (step + 1) * 8 + limit && frame >= (step + 1) * 8) }
        }
    }

    // MARK: Waste

    @Test("waste narrows the windows down to the least, and reading widens them again")
    func waste() {
        var state = ReadAhead(geometry: geometry)
        #expect(state.trusted(128) == 128)
        state.note(pages: 100_000, wereRead: true)
        #expect(state.trusted(128) == 128)
        state.note(pages: 10_000, wereRead: false)
        #expect((70...90).contains(state.trusted(128)))
        state.note(pages: 30_000, wereRead: false)
        #expect(state.trusted(128) == 8 && state.trusted(4) == 4 && state.trusted(0) == 0)
        for _ in 0..<40 { state.note(pages: 30_000, wereRead: true) }
        #expect(state.trusted(128) > 120)
    }

    @Test("a disk of one chunk, of one frame, has nothing ahead of its end")
    func tiny() throws {
        let geometry = try DiskGeometry(diskBytes: 64 << 10, chunkBytes: 64 << 10)
        var state = ReadAhead(geometry: geometry)
        for page in 0..<16 { state.miss(ChunkIndex(0), pages: page..<page + 1, limit: 128) }
        state.reached(ChunkIndex(0), limit: 128)
        #expect(!state.wantsMore && state.take(upTo: 1) == nil)
    }

    @Test("whatever readers do, a piece lies inside its chunk, and nothing is given out twice while streams live")
    func anything() {
        var generator = SeededGenerator(seed: 77)
        var state = ReadAhead(geometry: geometry)
        for _ in 0..<20_000 {
            let chunk = ChunkIndex(UInt64.random(in: 0..<256, using: &generator))
            switch Int.random(in: 0..<10, using: &generator) {
            case 0: state.reached(chunk, limit: 64)
            case 1: state.dropAll()
            case 2: state.note(pages: 500, wereRead: Bool.random(using: &generator))
            case 3...5:
                let count = Int.random(in: 1...16, using: &generator)
                if let piece = state.take(upTo: count) {
                    #expect(piece.chunk.rawValue < 256 && piece.frames.lowerBound >= 0)
                    #expect(piece.frames.upperBound <= 32 && (1...count).contains(piece.frames.count))
                }
            default:
                let first = Int.random(in: 0..<1024, using: &generator)
                let count = Int.random(in: 1...min(256, 1024 - first), using: &generator)
                state.miss(chunk, pages: first..<first + count, limit: Int.random(in: 0...512, using: &generator))
            }
        }
        #expect(state.streamCount <= 32)
    }
}
