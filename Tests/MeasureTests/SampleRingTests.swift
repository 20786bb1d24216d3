import Testing
import VDriveMeasure

@Suite struct SampleRingTests {
    /// A ring with a sample a second, whose counts are `seconds * 10`.
    private func ring(seconds: ClosedRange<Int>) -> SampleRing<Int> {
        var ring = SampleRing<Int>()
        for second in seconds { ring.note(second * 10, at: Double(second)) }
        return ring
    }

    @Test("a window begins at the sample nearest to it", arguments: [(1.0, 99), (10, 90), (60, 40)])
    func windows(window: Double, second: Int) {
        let start = ring(seconds: 0...100).start(ofWindow: window, at: 100.1)
        #expect(start?.counts == second * 10)
        #expect(start?.seconds == Double(second))
    }

    @Test("between two samples the window is never empty")
    func between() throws {
        let ring = ring(seconds: 0...100)
        for tenth in 0..<10 {
            let now = 100 + Double(tenth) / 10
            let start = try #require(ring.start(ofWindow: 1, at: now))
            #expect(now - start.seconds >= 0.5 && now - start.seconds < 1.5, "\(now)")
        }
    }

    @Test("a young ring gives what it has; an empty one nothing")
    func young() {
        #expect(SampleRing<Int>().start(ofWindow: 10, at: 5) == nil)
        #expect(SampleRing<Int>().age(at: 5) == nil)
        let ring = ring(seconds: 7...9)
        #expect(ring.start(ofWindow: 60, at: 9.5)?.seconds == 7)
        #expect(ring.age(at: 9.5) == 0.5)
    }

    @Test("after a gap the window is longer, not empty")
    func gap() {
        #expect(ring(seconds: 0...5).start(ofWindow: 1, at: 300)?.seconds == 5)
    }

    @Test("what is older than the longest window goes, but for the one that begins it")
    func bounded() {
        var ring = ring(seconds: 0...5)
        for second in 6...10_000 { ring.note(second * 10, at: Double(second)) }
        #expect(ring.start(ofWindow: 60, at: 10_000)?.seconds == 9940)
        #expect(ring.start(ofWindow: 1000, at: 10_000)?.seconds == 9940)
    }
}
