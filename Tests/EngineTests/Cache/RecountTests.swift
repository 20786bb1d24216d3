import Glibc
import Linux
import Synchronization
import Testing
import VDriveDataPlane
import VDriveModel

@testable import VDriveEngine

/// The count of free pages, set right beside writers that take some at the same time.
@Suite struct RecountTests {
    @Test("what a hit reserves between the measurement and its use is not given away again")
    func hits() async throws {
        let world = try await EngineWorld()
        // Nobody else may count meanwhile.
        try await world.attach(runs: false)
        let cache = world.disk.cache
        let counters = world.plane.counters
        await cache.recount()
        let before = counters.freePages.load(ordering: .relaxed)
        let threads = world.disk.threads
        let gate = ThreadGate()
        for _ in 0..<EngineLimits.cacheThreads { threads.submit { gate.pass() } }
        let recount = Task { await cache.recount() }
        // Now its measurement stands behind the gate.
        try await Task.sleep(for: .milliseconds(100))
        await cache.occupy {
            gate.open()
            let measured = ThreadGate()
            let arrived = Atomic(0)
            for _ in 0..<EngineLimits.cacheThreads {
                threads.submit {
                    arrived.add(1, ordering: .sequentiallyConsistent)
                    measured.pass()
                }
            }
            // Each thread is at its end of what was queued before: the measurement is done, and not used yet.
            while arrived.load(ordering: .sequentiallyConsistent) < EngineLimits.cacheThreads { sched_yield() }
            measured.open()
            #expect(counters.reserve(pages: 100))
        }
        await recount.value
        #expect(counters.freePages.load(ordering: .relaxed) == before - 100)
        // No byte of them was written: the next count finds them free.
        await cache.recount()
        #expect(counters.freePages.load(ordering: .relaxed) == before)
        world.run()
        try await world.detach()
    }
}

/// Where threads that may block wait for a test.
private final class ThreadGate: Sendable {
    private let isOpen = Atomic(false)

    func pass() { while !isOpen.load(ordering: .acquiring) { usleep(100) } }
    func open() { isOpen.store(true, ordering: .releasing) }
}

extension CacheActor {
    /// Keeps the actor busy for as long as the body takes.
    fileprivate func occupy(_ body: @Sendable () -> Void) { body() }
}
