import Testing
import VDriveModel

@testable import VDriveEngine

@Suite("lru") struct LRUPolicyTests {
    @Test("the least recently used chunk goes first, like in a plain list", arguments: [UInt64(1), 2, 3])
    func againstReference(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var policy = LRUPolicy()
        var lastAccess: [ChunkIndex: UInt64] = [:]
        var held: Set<ChunkIndex> = []
        var time: UInt64 = 0
        for _ in 0..<5_000 {
            time += 1
            let chunk = ChunkIndex(UInt64.random(in: 0..<200, using: &random))
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                if lastAccess[chunk] == nil { policy.admit(chunk, pages: 1, tick: time) }
                lastAccess[chunk] = time
            case 6:
                policy.remove(chunk)
                lastAccess[chunk] = nil
                held.remove(chunk)
            case 7 where lastAccess[chunk] != nil:
                // Dirty, and clean again at the place of its last access.
                if held.remove(chunk) == nil {
                    held.insert(chunk)
                    policy.suspend(chunk)
                } else {
                    policy.admit(chunk, pages: 1, tick: lastAccess[chunk]!)
                }
            default:
                let expected = lastAccess.filter { !held.contains($0.key) }.min { $0.value < $1.value }?.key
                #expect(policy.next(lastAccess: { lastAccess[$0]! }, takeUses: { _ in 0 }) == expected)
                if let expected {
                    lastAccess[expected] = nil
                    policy.evicted(expected)
                }
            }
            #expect(policy.count == lastAccess.count - held.count)
        }
    }
}

/// A policy and what its caller knows.
private struct PolicyWorld {
    enum Step: CaseIterable {
        case admit, adopt, use, suspend, remove, next, evicted
    }

    var policy: any EvictionPolicy
    var choosable: [ChunkIndex: Int] = [:]
    var suspended: Set<ChunkIndex> = []
    var chosen: [ChunkIndex] = []
    var uses: [ChunkIndex: Int] = [:]
    var ticks: [ChunkIndex: UInt64] = [:]
    private var time: UInt64 = 0

    init(_ policy: any EvictionPolicy) { self.policy = policy }

    mutating func take(_ step: Step, _ chunk: ChunkIndex, pages: Int) {
        time += 1
        switch step {
        case .admit, .adopt:
            ticks[chunk] = time
            suspended.remove(chunk)
            chosen.removeAll { $0 == chunk }
            choosable[chunk] = pages
            if step == .admit {
                policy.admit(chunk, pages: pages, tick: time)
            } else {
                policy.adopt(chunk, pages: pages, tick: time)
            }
        case .use:
            uses[chunk] = min(3, uses[chunk, default: 0] + 1)
            ticks[chunk] = time
        case .suspend:
            policy.suspend(chunk)
            if choosable.removeValue(forKey: chunk) != nil { suspended.insert(chunk) }
        case .remove:
            policy.remove(chunk)
            choosable[chunk] = nil
            suspended.remove(chunk)
            chosen.removeAll { $0 == chunk }
        case .next:
            let victim = next()
            #expect((victim == nil) == choosable.isEmpty)
            guard let victim else { return }
            #expect(choosable.removeValue(forKey: victim) != nil, "\(victim) is dirty, removed or unknown")
            chosen.append(victim)
        case .evicted: if let chunk = chosen.popLast() { policy.evicted(chunk) }
        }
    }

    private mutating func next() -> ChunkIndex? {
        var uses = uses
        defer { self.uses = uses }
        return policy.next(
            lastAccess: { ticks[$0, default: 0] },
            takeUses: { uses.removeValue(forKey: $0) ?? 0 }
        )
    }

    func check() {
        #expect(policy.count == choosable.count)
        #expect(Set(policy.chunks) == Set(choosable.keys))
        if let s3fifo = policy as? S3FIFOPolicy { s3fifo.checkInvariants() }
    }
}

@Suite("every policy") struct AnyPolicyTests {
    @Test("all sequences of a few steps on two chunks", arguments: CachePolicy.allCases)
    func exhaustive(choice: CachePolicy) {
        let chunks = [ChunkIndex(7), ChunkIndex(8)]
        let steps = PolicyWorld.Step.allCases.flatMap { step in
            step == .next || step == .evicted ? [(step, chunks[0])] : chunks.map { (step, $0) }
        }
        var worlds = 0
        func walk(_ world: PolicyWorld, depth: Int) {
            worlds += 1
            world.check()
            guard depth < 4 else { return }
            for (step, chunk) in steps {
                var next = world
                next.take(step, chunk, pages: 1)
                walk(next, depth: depth + 1)
            }
        }
        // The first steps fill it, so that the rest meets two chunks in every state.
        for first in [PolicyWorld.Step.admit, .adopt] {
            var world = PolicyWorld(choice.make(cacheBytes: 16 << 20, chunkBytes: 1 << 20))
            for chunk in chunks { world.take(first, chunk, pages: 1) }
            walk(world, depth: 0)
        }
        #expect(worlds > 30_000)
    }

    @Test("random steps on many chunks", arguments: CachePolicy.allCases, [UInt64(1), 2, 3])
    func randomized(choice: CachePolicy, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var world = PolicyWorld(choice.make(cacheBytes: 64 << 20, chunkBytes: 1 << 20))
        var most = 0
        for step in 0..<20_000 {
            let chunk = ChunkIndex(UInt64.random(in: 0..<150, using: &random))
            world.take(
                PolicyWorld.Step.allCases.randomElement(using: &random)!,
                chunk,
                pages: Int.random(in: 0...256, using: &random)
            )
            most = max(most, world.choosable.count + world.suspended.count + world.chosen.count)
            if step % 16 == 0 { world.check() }
            if let s3fifo = world.policy as? S3FIFOPolicy { #expect(s3fifo.remembered <= most) }
        }
        // To the last: everything choosable comes out, once.
        let left = world.choosable.count
        for _ in 0..<left { world.take(.next, ChunkIndex(0), pages: 0) }
        world.take(.next, ChunkIndex(0), pages: 0)
        world.check()
    }
}

@Suite("s3fifo") struct S3FIFOPolicyTests {
    @Test(
        "it hits exactly when the paper's queues, written down, do",
        arguments: [1, 2, 9, 10, 25, 60],
        [UInt64(1), 2]
    )
    func againstReference(capacity: Int, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var policy = S3FIFOPolicy(smallPagesMin: 0)
        var paper = PaperS3FIFO(capacity: capacity)
        var resident: Set<UInt64> = []
        var uses: [ChunkIndex: Int] = [:]
        var hits = 0
        for step in 0..<12_000 {
            // Some chunks often, some rarely, some once.
            let number =
                switch step % 4 {
                case 0, 1: UInt64.random(in: 0..<30, using: &random)
                case 2: UInt64.random(in: 0..<200, using: &random)
                default: UInt64(1000 + step)
                }
            let chunk = ChunkIndex(number)
            let isHit = resident.contains(number)
            #expect(paper.access(number) == isHit)
            if isHit {
                hits += 1
                uses[chunk] = min(3, uses[chunk, default: 0] + 1)
                continue
            }
            if resident.count == capacity {
                let victim = policy.next(lastAccess: { _ in 0 }, takeUses: { uses.removeValue(forKey: $0) ?? 0 })!
                policy.evicted(victim)
                #expect(resident.remove(victim.rawValue) != nil)
            }
            uses[chunk] = nil
            policy.admit(chunk, pages: 1, tick: 0)
            resident.insert(number)
            policy.checkInvariants()
            #expect(policy.remembered <= capacity)
        }
        if capacity > 9 { #expect(hits > 1000) }
    }

    private func order(_ policy: S3FIFOPolicy) -> [UInt64] {
        var policy = policy
        var order: [UInt64] = []
        while let chunk = policy.next(lastAccess: { _ in 0 }, takeUses: { _ in 0 }) {
            policy.evicted(chunk)
            order.append(chunk.rawValue)
        }
        return order
    }

    private func filled(_ count: UInt64) -> S3FIFOPolicy {
        var policy = S3FIFOPolicy(smallPagesMin: 0)
        for number in 0..<count { policy.admit(ChunkIndex(number), pages: 1, tick: 0) }
        return policy
    }

    @Test("a chunk that was dirty comes back to its place")
    func keepsItsPlace() {
        var policy = filled(5)
        policy.suspend(ChunkIndex(1))
        #expect(order(policy) == [0, 2, 3, 4])
        policy.admit(ChunkIndex(1), pages: 1, tick: 9)
        #expect(order(policy) == [0, 1, 2, 3, 4])
        // Its turn comes while it is dirty: afterwards it is the next.
        policy.suspend(ChunkIndex(1))
        for expected: UInt64 in [0, 2] {
            #expect(policy.next(lastAccess: { _ in 0 }, takeUses: { _ in 0 }) == ChunkIndex(expected))
            policy.evicted(ChunkIndex(expected))
        }
        policy.admit(ChunkIndex(1), pages: 1, tick: 9)
        #expect(order(policy) == [1, 3, 4])
    }

    @Test("what was chosen and stays is chosen next")
    func putsBack() {
        var policy = filled(4)
        #expect(policy.next(lastAccess: { _ in 0 }, takeUses: { _ in 0 }) == ChunkIndex(0))
        #expect(policy.count == 3)
        policy.admit(ChunkIndex(0), pages: 1, tick: 9)
        #expect(policy.remembered == 0)
        #expect(order(policy) == [0, 1, 2, 3])
    }

    @Test("what was evicted is remembered and comes back to stay; what was trimmed is not")
    func ghost() {
        var policy = filled(20)
        for number: UInt64 in [0, 1] {
            #expect(policy.next(lastAccess: { _ in 0 }, takeUses: { _ in 0 }) == ChunkIndex(number))
        }
        policy.evicted(ChunkIndex(0))
        policy.remove(ChunkIndex(1))
        policy.remove(ChunkIndex(2))
        #expect(policy.remembered == 1)
        for number: UInt64 in 0...2 { policy.admit(ChunkIndex(number), pages: 1, tick: 0) }
        // Chunk 0 is the only one of the main queue, which gives nothing before the small one is down to its tenth.
        #expect(order(policy) == Array(3..<20) + [1, 2, 0])
    }

    @Test("where all are used a call ends nevertheless")
    func isBounded() {
        for place in [0, 1] {
            var policy = S3FIFOPolicy(smallPagesMin: 0)
            for number: UInt64 in 0..<25_000 {
                if place == 0 {
                    policy.admit(ChunkIndex(number), pages: 1, tick: 0)
                } else {
                    policy.adopt(ChunkIndex(number), pages: 1, tick: 0)
                }
            }
            var looks = 0
            let victim = policy.next(
                lastAccess: { _ in 0 },
                takeUses: { _ in
                    looks += 1
                    return 3
                }
            )
            #expect(victim == ChunkIndex(10_000) && looks == 10_001)
            #expect(policy.count == 24_999)
            policy.checkInvariants()
        }
    }

    @Test("the shares count by pages")
    func pages() {
        var policy = S3FIFOPolicy(smallPagesMin: 0)
        for number: UInt64 in 0..<9 { policy.adopt(ChunkIndex(number), pages: 100, tick: 0) }
        policy.admit(ChunkIndex(50), pages: 99, tick: 0)
        // 99 of 999 pages are a tenth.
        #expect(order(policy).first == 50)
        policy.admit(ChunkIndex(50), pages: 89, tick: 0)
        #expect(order(policy).first == 0)
    }
}

/// S3-FIFO as the paper has it, for objects of one size: three lists, one victim at a time.
private struct PaperS3FIFO {
    let capacity: Int
    private var small: [UInt64] = []
    private var main: [UInt64] = []
    private var ghost: [UInt64] = []
    private var frequency: [UInt64: Int] = [:]

    init(capacity: Int) { self.capacity = capacity }

    mutating func access(_ object: UInt64) -> Bool {
        if small.contains(object) || main.contains(object) {
            frequency[object] = min(frequency[object]! + 1, 3)
            return true
        }
        let comesBack = ghost.contains(object)
        if small.count + main.count == capacity { evict() }
        // The eviction may have pushed it out of the ghost: then it is forgotten.
        if comesBack, let place = ghost.firstIndex(of: object) {
            ghost.remove(at: place)
            main.append(object)
        } else {
            small.append(object)
        }
        frequency[object] = 0
        return false
    }

    private mutating func evict() {
        while true {
            if main.isEmpty || (!small.isEmpty && small.count >= capacity / 10) {
                let object = small.removeFirst()
                guard frequency[object]! > 1 else {
                    ghost.append(object)
                    if ghost.count > capacity - capacity / 10 { ghost.removeFirst() }
                    return
                }
                frequency[object] = 0
                main.append(object)
            } else {
                let object = main.removeFirst()
                if frequency[object]! == 0 { return }
                frequency[object]! -= 1
                main.append(object)
            }
        }
    }
}
