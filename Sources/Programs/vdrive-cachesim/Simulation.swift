import VDriveDataPlane
import VDriveEngine
import VDriveModel

/// One cache size on one trace. Policies, words and time are the daemon's own; a chunk comes in whole, and what makes
/// room for it leaves one by one.
///
/// A tick passes with every access, so that `lru` is exact; the daemon's ticks, which pass with what is brought in,
/// are kept beside them and tell what a use is (`CacheTime`).
struct Simulation {
    let cacheChunks: Int
    private let accesses: Accesses
    private let chunkBytes: Int
    private let cacheBytes: UInt64
    /// Whether `lru` sees the daemon's coarse ticks instead.
    var hasCoarseTicks = false

    init(accesses: Accesses, chunkBytes: Int, cacheBytes: UInt64) {
        self.accesses = accesses
        self.chunkBytes = chunkBytes
        self.cacheBytes = cacheBytes
        cacheChunks = max(1, Int(cacheBytes / UInt64(chunkBytes)))
    }

    func hits(of policy: CachePolicy) -> Int {
        var hits = 0
        play(policy) { hits += $0 ? 1 : 0 }
        return hits
    }

    /// - Parameter each: whether the next access hits.
    func play(_ policy: CachePolicy, each: (Bool) -> Void) {
        play(policy.make(cacheBytes: cacheBytes, chunkBytes: chunkBytes), each: each)
    }

    private func play<Policy: EvictionPolicy>(_ policy: Policy, each: (Bool) -> Void) {
        var policy = policy
        var words = [ChunkWord](repeating: ChunkWord(bits: 0), count: accesses.distinct)
        var ticks = [UInt64](repeating: 0, count: accesses.distinct)
        var isResident = [Bool](repeating: false, count: accesses.distinct)
        var resident = 0
        var time = CacheTime()
        var clock: UInt64 = 0
        let pages = chunkBytes / DiskGeometry.pageBytes
        for (index, chunk) in accesses.order.enumerated() {
            each(isResident[chunk])
            ticks[chunk] = hasCoarseTicks ? clock : UInt64(index)
            if isResident[chunk] {
                words[chunk] = words[chunk].accessed(tick: clock)
            } else {
                if resident == cacheChunks {
                    let chosen = policy.next(
                        lastAccess: { ticks[Int($0.rawValue)] },
                        takeUses: { chunk in
                            let word = words[Int(chunk.rawValue)]
                            words[Int(chunk.rawValue)] = word.withoutUses()
                            return word.uses
                        }
                    )
                    guard let chosen else { preconditionFailure("a full cache has nothing to evict") }
                    policy.evicted(chosen)
                    isResident[Int(chosen.rawValue)] = false
                    resident -= 1
                }
                clock += time.bringIn(pages: pages, limitPages: cacheChunks * pages)
                words[chunk] = words[chunk].begun(tick: clock)
                isResident[chunk] = true
                resident += 1
                if hasCoarseTicks { ticks[chunk] = clock }
                policy.admit(ChunkIndex(UInt64(chunk)), pages: pages, tick: ticks[chunk])
            }
        }
    }
}
