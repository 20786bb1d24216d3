import Testing

@testable import VDriveEngine

@Suite struct LinkEstimateTests {
    private static let frame = 128 << 10

    /// A link that carries one byte after the other, in the order of the requests.
    private struct Link {
        var bytesPerSecond: Double
        var latency: Double
        var now = 0.0
        var free = 0.0
        var underWay: [(number: Int, bytes: Int, due: Double)] = []
        var carried = 0
        var queueMax = 0.0

        mutating func send(_ number: Int, _ bytes: Int) {
            free = max(free, now + latency) + Double(bytes) / bytesPerSecond
            queueMax = max(queueMax, free - now)
            underWay.append((number, bytes, free))
        }

        mutating func next() -> Int? {
            guard let first = underWay.first else { return nil }
            underWay.removeFirst()
            now = first.due
            carried += first.bytes
            return first.number
        }
    }

    private func run(_ state: inout LinkEstimate, _ link: inout Link, seconds: Double, ratio: Double = 1) {
        let end = link.now + seconds
        while link.now < end {
            while let room = state.admit(at: link.now) {
                let bytes = Int(Double(room.frames * Self.frame) * ratio)
                _ = state.begin(room.number, isAhead: true, bytes: bytes, frames: room.frames, at: link.now)
                link.send(room.number, bytes)
            }
            guard let number = link.next() else { return }
            state.end(number, hasArrived: true, at: link.now)
        }
    }

    @Test(
        "links are filled, near and far, fast and slow, and a demand read finds a short queue",
        arguments: [(125e6, 0.020), (125e6, 0.001), (12.5e6, 0.020), (1.25e6, 0.020), (12.5e6, 0.2), (1.25e9, 0.002)]
    )
    func fills(bytesPerSecond: Double, latency: Double) {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        var link = Link(bytesPerSecond: bytesPerSecond, latency: latency)
        run(&state, &link, seconds: 5)
        link.carried = 0
        link.queueMax = 0
        let start = link.now
        run(&state, &link, seconds: 20)
        let share = Double(link.carried) / (link.now - start) / bytesPerSecond
        #expect(share > 0.95, "\(share) of the link")
        // Twice the product and the way itself, or two frames where that is more.
        let bound = max(3.2 * latency, 3.2 * Double(Self.frame) / bytesPerSecond + latency)
        #expect(link.queueMax < bound, "a request waits \(link.queueMax) s")
    }

    @Test("beside a reader of single frames the link stays full, and that reader's wait short")
    func besideDemand() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        var link = Link(bytesPerSecond: 125e6, latency: 0.02)
        run(&state, &link, seconds: 5)
        var waits: [Double] = []
        var demand: (number: Int, since: Double)?
        let start = link.now
        link.carried = 0
        while link.now < start + 20 {
            if demand == nil {
                demand = (state.begin(nil, isAhead: false, bytes: Self.frame, frames: 1, at: link.now), link.now)
                link.send(demand!.number, Self.frame)
            }
            while let room = state.admit(at: link.now) {
                let bytes = room.frames * Self.frame
                _ = state.begin(room.number, isAhead: true, bytes: bytes, frames: room.frames, at: link.now)
                link.send(room.number, bytes)
            }
            let number = link.next()!
            state.end(number, hasArrived: true, at: link.now)
            if number == demand?.number {
                waits.append(link.now - demand!.since)
                demand = nil
            }
        }
        waits.sort()
        #expect(waits[waits.count / 2] < 0.04, "a median of \(waits[waits.count / 2]) s")
        let share = Double(link.carried) / (link.now - start) / 125e6
        #expect(share > 0.95, "\(share) of the link")
    }

    @Test("compressed frames are counted as what they are on the wire")
    func compressed() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        var link = Link(bytesPerSecond: 125e6, latency: 0.02)
        run(&state, &link, seconds: 10, ratio: 0.25)
        #expect((4_000_000...7_000_000).contains(state.budget))
        #expect(state.budgetFrames > 3 * state.budget / Self.frame)
    }

    @Test("the link may become slower, and farther")
    func changes() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        var link = Link(bytesPerSecond: 125e6, latency: 0.02)
        run(&state, &link, seconds: 10)
        link.bytesPerSecond = 12.5e6
        run(&state, &link, seconds: 30)
        #expect(state.budget < 1_200_000, "\(state.budget) bytes at once over a tenth of the link")
        link.latency = 0.1
        run(&state, &link, seconds: 60)
        link.carried = 0
        let start = link.now
        run(&state, &link, seconds: 20)
        #expect(Double(link.carried) / (link.now - start) > 0.95 * 12.5e6)
    }

    @Test("what is under way stays within the budget, and the budget within its bounds")
    func bounds() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 1 << 20)
        var link = Link(bytesPerSecond: 1e9, latency: 0.5)
        for _ in 0..<200 {
            while let room = state.admit(at: link.now) {
                #expect((1...16).contains(room.frames))
                let bytes = room.frames * Self.frame
                _ = state.begin(room.number, isAhead: true, bytes: bytes, frames: room.frames, at: link.now)
                link.send(room.number, bytes)
                #expect(state.aheadBytes <= 1 << 20 && state.aheadCount <= 16)
            }
            guard let number = link.next() else { break }
            state.end(number, hasArrived: true, at: link.now)
        }
        #expect(state.budget == 1 << 20)
    }

    @Test("demand takes no part of read-ahead's budget, a reservation does until it ends, and ends once")
    func reservations() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        for number in 0..<40 {
            _ = state.begin(nil, isAhead: false, bytes: Self.frame, frames: 1, at: Double(number) / 1000)
        }
        #expect(state.aheadCount == 0 && state.aheadBytes == 0)
        var rooms: [Int] = []
        while let room = state.admit(at: 0.05) { rooms.append(room.number) }
        #expect(rooms.count == state.aheadCount && !rooms.isEmpty)
        for number in rooms + rooms { state.end(number, hasArrived: false, at: 0.06) }
        #expect(state.aheadCount == 0 && state.aheadBytes == 0)
        #expect(state.admit(at: 0.07) != nil)
    }

    @Test("a small transfer that ends beside a large one is no miracle")
    func noMiracle() {
        var state = LinkEstimate(frameBytes: Self.frame, budgetMax: 32 << 20)
        let large = state.begin(nil, isAhead: false, bytes: 4 << 20, frames: 32, at: 0)
        let quick = state.begin(nil, isAhead: false, bytes: Self.frame, frames: 1, at: 0)
        state.end(quick, hasArrived: true, at: 0.021)
        let small = state.begin(nil, isAhead: false, bytes: Self.frame, frames: 1, at: 0.035)
        state.end(large, hasArrived: true, at: 0.054)
        state.end(small, hasArrived: true, at: 0.056)
        // 4.1 MiB in 35 ms at most: three times that over 21 ms.
        #expect(state.budget <= 8 << 20, "\(state.budget)")
    }
}
