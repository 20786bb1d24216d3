import ArgumentParser
import Glibc
import Testing
import VDriveEngine

@testable import vdrive_cachesim

@Suite("The cache simulator")
struct SimulationTests {
    static let chunkBytes = 4 << 20

    private func simulation(_ accesses: Accesses, chunks: Int) -> Simulation {
        Simulation(accesses: accesses, chunkBytes: Self.chunkBytes, cacheBytes: UInt64(chunks * Self.chunkBytes))
    }

    private func accesses(
        _ form: TraceForm,
        chunks: Int,
        requests: Int,
        seed: UInt64 = 1,
        scanRequests: Int = 1,
        alpha: Double = 0.9
    ) -> Accesses {
        var maker = TraceMaker(chunkBytes: Self.chunkBytes, chunks: chunks, seed: seed)
        maker.scanRequests = scanRequests
        maker.alpha = alpha
        return Accesses(maker.make(form, requests: requests), chunkBytes: Self.chunkBytes)
    }

    private func share(_ hits: Int, _ accesses: Accesses) -> Double {
        100 * Double(hits) / Double(accesses.order.count)
    }

    @Test("lru hits exactly when a plain list does", arguments: TraceForm.allCases, [UInt64(1), 2])
    func lruIsExact(form: TraceForm, seed: UInt64) {
        let accesses = accesses(form, chunks: 60, requests: 3_000, seed: seed, scanRequests: 2)
        for cacheChunks in [1, 2, 7, 40, 59, 60, 61, 120] {
            var reference = PlainLRU(capacity: cacheChunks)
            var index = 0
            var differences = 0
            simulation(accesses, chunks: cacheChunks).play(.lru) { isHit in
                if reference.access(accesses.order[index]) != isHit { differences += 1 }
                index += 1
            }
            #expect(index == accesses.order.count && differences == 0, "\(form) with \(cacheChunks) chunks")
        }
    }

    @Test("nothing beats the optimum", arguments: TraceForm.allCases)
    func optimumIsBest(form: TraceForm) {
        let accesses = accesses(form, chunks: 100, requests: 8_000)
        for cacheChunks in [1, 3, 10, 50, 99, 150] {
            let simulation = simulation(accesses, chunks: cacheChunks)
            let best = Optimum.hits(accesses, cacheChunks: cacheChunks)
            for policy in CachePolicy.allCases { #expect(simulation.hits(of: policy) <= best, "\(form) \(policy)") }
            #expect(best <= accesses.order.count - accesses.distinct)
        }
    }

    @Test("the optimum is what trying everything finds", arguments: 0..<40)
    func optimumIsExact(seed: UInt64) {
        let accesses = accesses(.zipf, chunks: 5, requests: 12, seed: seed, alpha: 0.3)
        for cacheChunks in 1...3 {
            let best = tryEverything(accesses.order[...], resident: [], capacity: cacheChunks)
            #expect(Optimum.hits(accesses, cacheChunks: cacheChunks) == best)
        }
    }

    private func tryEverything(_ order: ArraySlice<Int>, resident: Set<Int>, capacity: Int) -> Int {
        guard let chunk = order.first else { return 0 }
        let rest = order.dropFirst()
        if resident.contains(chunk) { return 1 + tryEverything(rest, resident: resident, capacity: capacity) }
        if resident.count < capacity {
            return tryEverything(rest, resident: resident.union([chunk]), capacity: capacity)
        }
        return resident.map { out in
            tryEverything(rest, resident: resident.subtracting([out]).union([chunk]), capacity: capacity)
        }.max()!
    }

    @Test(
        "beside scans s3fifo keeps the hot set",
        arguments: [(TraceForm.mixed, points: 15.0), (.bursts, 12), (.nightly, 3), (.loop, 0)]
    )
    func scansSpareTheHotSet(form: TraceForm, points: Double) {
        // The cache holds the hot set and a quarter more.
        let accesses = accesses(form, chunks: 800, requests: 60_000)
        let simulation = simulation(accesses, chunks: 1000)
        let lru = share(simulation.hits(of: .lru), accesses)
        let s3fifo = share(simulation.hits(of: .s3fifo), accesses)
        let best = share(Optimum.hits(accesses, cacheChunks: 1000), accesses)
        #expect(s3fifo >= lru + points, "\(form): lru \(lru), s3fifo \(s3fifo)")
        #expect(s3fifo >= best - 3, "\(form): s3fifo \(s3fifo), optimum \(best)")
    }

    @Test("the many requests of a scan to one chunk are no uses that keep it")
    func pieces() {
        // Every other access is the hot set's.
        func missesOfHot(_ policy: CachePolicy) -> Int {
            let accesses = accesses(.mixed, chunks: 800, requests: 150_000, scanRequests: 32)
            var index = 0
            var misses = 0
            simulation(accesses, chunks: 850).play(policy) { isHit in
                if index.isMultiple(of: 2), !isHit { misses += 1 }
                index += 1
            }
            return misses - 800
        }
        let lru = missesOfHot(.lru)
        let s3fifo = missesOfHot(.s3fifo)
        #expect(s3fifo < lru / 2, "after the first of each: lru \(lru), s3fifo \(s3fifo)")
    }

    @Test("on zipf s3fifo is no worse than lru", arguments: [0.6, 0.9, 1.2], [50, 200, 800])
    func zipfIsNoWorse(alpha: Double, cacheChunks: Int) {
        let accesses = accesses(.zipf, chunks: 2000, requests: 60_000, alpha: alpha)
        let simulation = simulation(accesses, chunks: cacheChunks)
        let lru = share(simulation.hits(of: .lru), accesses)
        let s3fifo = share(simulation.hits(of: .s3fifo), accesses)
        #expect(s3fifo >= lru - 0.5, "lru \(lru), s3fifo \(s3fifo)")
    }

    @Test("the daemon's coarse ticks cost lru next to nothing", arguments: [TraceForm.zipf, .bursts])
    func coarseTicks(form: TraceForm) {
        let accesses = accesses(form, chunks: 3000, requests: 60_000)
        var simulation = simulation(accesses, chunks: 600)
        let exact = share(simulation.hits(of: .lru), accesses)
        simulation.hasCoarseTicks = true
        let coarse = share(simulation.hits(of: .lru), accesses)
        #expect(abs(exact - coarse) < 0.5, "exact \(exact), coarse \(coarse)")
    }

    @Test("the table of a trace whose ratios a person can work out")
    func knownTable() throws {
        let path = "/tmp/vdrive-cachesim-\(UInt64.random(in: 0...UInt64.max)).csv"
        defer { unlink(path) }
        // Four chunks round and round: lru of three always misses. Once they were all seen the optimum misses one
        // access of three: 24 of 40 hit.
        let made = try CacheSimulator.parse([
            "--make", "loop", "--chunks", "4", "--requests", "40", "--cache-size", "12M", "16M", "--write-trace", path,
        ])
        var table: [String] = []
        try made.report { table.append($0) }
        #expect(
            table == [
                "loop, 4 chunks, 40 requests, seed 1; 40 accesses to 4 chunks of 4.00 MiB",
                "      cache     chunks        lru     s3fifo    optimum",
                "   12.0 MiB          3      0.0 %     40.0 %     60.0 %",
                "   16.0 MiB          4     90.0 %     90.0 %     90.0 %",
            ]
        )
        var read: [String] = []
        try CacheSimulator.parse(["--trace", path, "--cache-size", "12M", "16M"]).report { read.append($0) }
        #expect(read[1...] == table[1...])
    }
}

/// Least recently used, written down: the list is in order of use.
private struct PlainLRU {
    let capacity: Int
    private var list: [Int] = []

    init(capacity: Int) { self.capacity = capacity }

    mutating func access(_ chunk: Int) -> Bool {
        if let place = list.firstIndex(of: chunk) {
            list.remove(at: place)
            list.append(chunk)
            return true
        }
        if list.count == capacity { list.removeFirst() }
        list.append(chunk)
        return false
    }
}
