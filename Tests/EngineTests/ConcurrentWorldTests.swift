import Foundation
import Linux
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore

/// Strands that write places of their own in chunks that they share, while others do to the cache whatever people can
/// do, and crashes in between.
///
/// The seed decides what each strand does; how they meet is up to the machine.
@Suite struct ConcurrentWorldTests {
    private static let strands = 5
    private static let diskBytes = 8 << 20

    /// The places of the disk, each of which is written and read as one, of three kinds: pages, in the first half of
    /// the disk; halves of pages, so that two strands write to one page; and what lies on a border of two chunks.
    private struct Places: Sendable {
        let chunkBytes: Int
        private var pages: Int { diskBytes / 2 / DiskGeometry.pageBytes }

        func first(of kind: Int) -> Int { kind * pages }
        func count(of kind: Int) -> Int { kind < 2 ? pages : diskBytes / 4 / chunkBytes - 1 }

        subscript(_ number: Int) -> Range<UInt64> {
            let index = number % pages
            let pageBytes = DiskGeometry.pageBytes
            let (start, count) =
                switch number / pages {
                case 0: (index * pageBytes, pageBytes)
                case 1: (diskBytes / 2 + index * pageBytes / 2, pageBytes / 2)
                default: (diskBytes / 4 * 3 + (index + 1) * chunkBytes - 9000, 15000)
                }
            return UInt64(start)..<UInt64(start + count)
        }
    }

    /// One writer: every fifth place of the disk is its own.
    private struct Strand: Sendable {
        let number: Int
        let places: Places
        var random: SeededGenerator
        /// What fills a place; 0 are zeros.
        var values: [Int: UInt8] = [:]

        mutating func perform(_ count: Int, on world: EngineWorld) async throws {
            for _ in 0..<count {
                let place = choose()
                let range = places[place]
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<45:
                    let value = UInt8.random(in: 1...255, using: &random)
                    try await world.write(range.lowerBound, [UInt8](repeating: value, count: range.count))
                    values[place] = value
                case 45..<90: try await check(place, on: world)
                case 90..<96:
                    try await world.deallocate(range.lowerBound, UInt64(range.count))
                    values[place] = 0
                default: try await world.flush()
                }
            }
        }

        /// Most of what is used is used again, and the few places on borders as much as the others.
        private mutating func choose() -> Int {
            var kind = Int.random(in: 0..<3, using: &random)
            if places.count(of: kind) <= number { kind = 0 }
            let own = (places.count(of: kind) - number + strands - 1) / strands
            let used = max(1, own / (Bool.random(using: &random) ? 1 : 8))
            return places.first(of: kind) + number + strands * Int.random(in: 0..<used, using: &random)
        }

        func check(_ place: Int, on world: EngineWorld, _ when: String = "under way") async throws {
            let range = places[place]
            let found = try await world.read(range.lowerBound, range.count)
            let expected = values[place] ?? 0
            let wrong = found.firstIndex { $0 != expected }
            try #require(wrong == nil, "\(when): \(range) at \(wrong!): \(found[wrong!]), not \(expected)")
        }
    }

    @Test("writers never miss their bytes, whatever is done to the cache meanwhile", arguments: seeds)
    func steered(seed: UInt64) async throws {
        let store = MemoryStore()
        let chunkBytes = seed % 2 == 0 ? 64 << 10 : 1 << 20
        let world = try await EngineWorld(
            store: store,
            diskBytes: UInt64(Self.diskBytes),
            chunkBytes: chunkBytes,
            cacheBytes: 6 << 20,
            uploadInterval: .milliseconds(50)
        )
        var random = SeededGenerator(seed: seed)
        var strands = (0..<Self.strands).map { number in
            Strand(
                number: number,
                places: Places(chunkBytes: chunkBytes),
                random: SeededGenerator(seed: seed &* 1000 &+ UInt64(number))
            )
        }
        for phase in 0..<6 {
            try await world.attach()
            strands = try await run(strands, on: world, seed: random.next())
            try await world.flush()
            if phase % 3 == 2 { try await world.detach(commit: phase == 2) } else { try await world.crash() }
            try await world.attach()
            try await check(strands, on: world, "after phase \(phase)")
            try await world.detach(commit: false)
        }
        try await world.attach()
        try await world.disk.sync()
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        try await check(strands, on: world, "from the remote alone")
        try await world.detach()
    }

    /// As many worlds as VDRIVE_WORLDS says.
    static var seeds: [UInt64] {
        let text = ProcessInfo.processInfo.environment["VDRIVE_WORLDS"] ?? ""
        return Array(1...(UInt64(text) ?? 4))
    }

    /// Runs the strands to their end, and two that steer for as long.
    private func run(_ strands: [Strand], on world: EngineWorld, seed: UInt64) async throws -> [Strand] {
        try await withThrowingTaskGroup(of: Strand?.self) { group in
            for number: UInt64 in 0..<2 {
                group.addTask {
                    var random = SeededGenerator(seed: seed &+ number)
                    while !Task.isCancelled {
                        // What is under way at the end is given up, and says so.
                        do { try await steer(world, &random) } catch  where Task.isCancelled {}
                    }
                    return nil
                }
            }
            for strand in strands {
                group.addTask {
                    var strand = strand
                    try await strand.perform(300, on: world)
                    return strand
                }
            }
            var ended: [Strand] = []
            while ended.count < strands.count, let strand = try await group.next() {
                if let strand { ended.append(strand) }
            }
            group.cancelAll()
            try await group.waitForAll()
            return ended.sorted { $0.number < $1.number }
        }
    }

    /// One thing that people can do.
    private func steer(_ world: EngineWorld, _ random: inout SeededGenerator) async throws {
        let disk = world.disk
        let first = UInt64.random(in: 0..<UInt64(Self.diskBytes), using: &random)
        let range = first..<min(UInt64(Self.diskBytes), first + UInt64.random(in: 1...(2 << 20), using: &random))
        let rule = PinRuleID(UInt64.random(in: 1...3, using: &random))
        switch Int.random(in: 0..<12, using: &random) {
        case 0: try await refusable { () async throws(DiskError) in try await disk.prefetch([range]) { _ in } }
        case 1: _ = try await disk.evict([range]) { _ in }
        case 2: _ = try await disk.evict(wait: Bool.random(using: &random))
        case 3:
            try await refusable { () async throws(DiskError) in
                try await disk.setPins(rule, [range])
                try await disk.savePinRule(PinRule(id: rule, target: .range(range), createdAt: 1))
            }
        case 4:
            await disk.removePins(rule)
            try await disk.removePinRule(rule)
        case 5:
            let limits = CacheLimits(hardBytes: UInt64.random(in: 4...8, using: &random) << 20)
            try await refusable { () async throws(DiskError) in try await disk.setLimits(limits) }
        case 6: await disk.setCachePolicy(Bool.random(using: &random) ? .lru : .s3fifo)
        case 7: try await disk.sync()
        case 8:
            await disk.pauseUploads()
            try? await Task.sleep(for: .milliseconds(Int.random(in: 1...20, using: &random)))
            await disk.resumeUploads()
        case 9: await disk.setDurability(Bool.random(using: &random) ? .local : .remote)
        case 10: _ = await disk.uploadQueue(limit: 10)
        default:
            let found = try await disk.residency(of: [range])[0]
            #expect(found.cachedBytes + found.absentBytes + found.unallocatedBytes == UInt64(range.count))
        }
    }

    /// What is pinned may not fit, and all may be dirty or pinned: that is said, and changes nothing.
    private func refusable(_ act: () async throws(DiskError) -> Void) async throws {
        do throws(DiskError) { try await act() } catch {
            guard error.kind == .outOfSpace || error.kind == .refused else { throw error }
        }
    }

    private func check(_ strands: [Strand], on world: EngineWorld, _ when: String) async throws {
        for strand in strands {
            for place in strand.values.keys { try await strand.check(place, on: world, when) }
        }
    }
}
