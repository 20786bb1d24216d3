internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// What the eviction policy is told. It chooses among the clean resident chunks that were verified.
extension CacheActor {
    /// Takes another policy from now on: all that is known moves over in one stretch.
    ///
    /// What is dirty comes to the new policy when it is clean, and what is being evicted does not any more.
    func use(_ choice: CachePolicy) {
        guard choice != policyChoice else { return }
        // The recency is all that one policy can tell another; it is in the words.
        let chunks = policy.chunks.map { (tick: lastAccess($0), chunk: $0) }
        policyChoice = choice
        policy = choice.make(cacheBytes: limits.hardBytes, chunkBytes: geometry.chunkBytes)
        for (_, chunk) in chunks.sorted(by: { ($0.tick, $0.chunk) < ($1.tick, $1.chunk) }) { adopt(chunk) }
    }

    /// A chunk is clean and resident: newly, again, or with other pages or other pins.
    func admit(_ chunk: ChunkIndex) {
        guard let pages = loosePages(chunk) else { return policy.remove(chunk) }
        policy.admit(chunk, pages: pages, tick: lastAccess(chunk))
    }

    /// A clean resident chunk that another run left, or another policy.
    func adopt(_ chunk: ChunkIndex) {
        guard let pages = loosePages(chunk) else { return }
        policy.adopt(chunk, pages: pages, tick: lastAccess(chunk))
    }

    /// What the policy chose, in its order, and what stays after all.
    func putBack(_ chunks: some BidirectionalCollection<ChunkIndex>) {
        for chunk in chunks.reversed() { admit(chunk) }
    }

    /// A chunk comes into the cache, and has no history there.
    func begin(_ chunk: ChunkIndex) {
        let tick = plane.clock.load(ordering: .relaxed)
        plane.table.update(chunk) { $0.begun(tick: tick) }
    }

    func takeUses(_ chunk: ChunkIndex) -> Int {
        var uses = 0
        plane.table.update(chunk) { word in
            uses = word.uses
            return word.withoutUses()
        }
        return uses
    }
}
