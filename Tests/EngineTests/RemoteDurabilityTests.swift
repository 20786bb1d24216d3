import Glibc
import Linux
import Synchronization
import Testing
import VDriveFormat
import VDriveModel
import VDriveStore
import VDriveTestKit

@testable import VDriveEngine

/// Promise 1 for durability `remote`: a flush is answered after the commit that holds everything written before it.
@Suite struct RemoteDurabilityTests {
    private func page(_ value: Int) -> [UInt8] { [UInt8](repeating: UInt8(value), count: 4096) }

    /// A flush under way, and whether it was answered.
    private final class Flush: Sendable {
        private let answered = Atomic(false)
        private let task = Mutex<Task<Void, any Error>?>(nil)

        init(_ world: EngineWorld) {
            task.withLock {
                $0 = Task {
                    defer { answered.store(true, ordering: .sequentiallyConsistent) }
                    try await world.flush()
                }
            }
        }

        var isAnswered: Bool { answered.load(ordering: .sequentiallyConsistent) }
        func wait() async throws { try await task.withLock { $0! }.value }
    }

    @Test("a flush waits for the commit, and what it answered survives the machine")
    func waitsForCommit() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(1 << 20, page(7))
        store.close()
        let flush = Flush(world)
        try await store.untilWaiting()
        try await Task.sleep(for: .milliseconds(100))
        #expect(!flush.isAnswered, "the commit object is not there yet")
        // Closing a descriptor is no fsync: it does not wait.
        try await world.close()
        #expect(!flush.isAnswered)
        store.open()
        try await flush.wait()
        // The machine burns down this instant: the remote as it is now must hold the page.
        let other = try await EngineWorld(store: try await copy(of: store.inner))
        try await other.attach(AttachIntent(takesOver: true))
        #expect(try await same(other.read(1 << 20, 4096), page(7)))
        try await other.detach()
        try await world.detach()
    }

    @Test("flushes that wait together share an epoch")
    func groupCommit() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        store.close()
        try await world.write(0, page(1))
        let first = Flush(world)
        try await store.untilWaiting()
        let before = store.puts
        let others = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 1...50 {
                    group.addTask {
                        try await world.write(UInt64(index) << 20, [UInt8](repeating: UInt8(index), count: 4096))
                        try await world.flush()
                    }
                }
                try await group.waitForAll()
            }
        }
        while await world.disk.uploads.waiters.count < 50 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(!first.isAnswered)
        store.open()
        try await first.wait()
        try await others.value
        #expect(store.puts - before == 2, "one commit for the first, one for the other fifty")
        try await world.detach()
    }

    @Test("with nothing dirty and nothing in flight a flush asks the remote nothing")
    func nothingDirty() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, page(1))
        try await world.flush()
        store.add(.init(nil, .failBefore(StoreError(.unavailable, "away"))))
        let calls = FaultyStore.Operation.allCases.map { store.calls(of: $0) }
        for _ in 0..<10 { try await world.flush() }
        #expect(FaultyStore.Operation.allCases.map { store.calls(of: $0) } == calls)
        store.clear()
        try await world.detach()
    }

    @Test("a remote that refuses makes a flush wait, never fail; a sync is told", .timeLimit(.minutes(1)))
    func refusals() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, page(3))
        store.add(.init(.put, nameContains: "blocks/", times: 1, .failBefore(StoreError(.full, "no room"))))
        store.add(.init(.put, nameContains: "commits/", times: 1, .appliedThenError(StoreError(.unavailable, "lost"))))
        let flush = Flush(world)
        await #expect(throws: DiskError.self) { try await world.disk.sync() }
        #expect(!flush.isAnswered)
        try await flush.wait()
        #expect(await world.disk.status().dirtyBytes == 0)
        try await world.detach()
    }

    @Test("a change to local lets waiting flushes go; a change to remote makes the next one wait")
    func changedLive() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        store.close()
        try await world.write(0, page(1))
        let flush = Flush(world)
        try await store.untilWaiting()
        #expect(!flush.isAnswered)
        await world.disk.setDurability(.local)
        try await flush.wait()
        try await world.write(0, page(2))
        try await world.flush()
        await world.disk.setDurability(.remote)
        let next = Flush(world)
        while await world.disk.uploads.waiters.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        #expect(!next.isAnswered)
        store.open()
        try await next.wait()
        #expect(await world.disk.status().dirtyBytes == 0)
        try await world.detach()
    }

    @Test("a disk that is being taken out of use does not wait for ever; one that stays waits again")
    func leaving() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        store.close()
        try await world.write(0, page(1))
        let flush = Flush(world)
        try await store.untilWaiting()
        await world.disk.leave()
        try await Task.sleep(for: .milliseconds(50))
        #expect(!flush.isAnswered, "leaving alone answers nobody")
        await world.disk.giveUpRemote()
        try await flush.wait()
        try await world.flush()
        await world.disk.stay()
        let next = Flush(world)
        while await world.disk.uploads.waiters.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        #expect(!next.isAnswered)
        store.open()
        try await next.wait()
        try await world.detach()
    }

    @Test("while leaving, a remote that refuses is given up at its first refusal")
    func leavingRefused() async throws {
        let store = FaultyStore(MemoryStore())
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, page(1))
        store.add(.init(.put, nameContains: "blocks/", .failBefore(StoreError(.forbidden, "no"))))
        await world.disk.leave()
        try await world.flush()
        #expect(await world.disk.status().dirtyBytes == 4096, "kept for the next attach")
        try await world.detach(commit: false)
    }

    @Test("fencing ends the waiting with EROFS")
    func fenced() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        store.close()
        try await world.write(0, page(1))
        let flush = Flush(world)
        try await store.untilWaiting()
        // Another machine claims a higher term while our commit is on its way.
        try await store.inner.put(.termOwner(Term(99), claimIsFolder: false), Array("x".utf8))
        try await store.inner.put(.term(Term(99)), [])
        store.open()
        let error = await #expect(throws: Errno.self) { try await flush.wait() }
        #expect(error?.rawValue == EROFS)
        let late = await #expect(throws: Errno.self) { try await world.flush() }
        #expect(late?.rawValue == EROFS, "and so does every later flush, as long as something is dirty")
        #expect(await world.disk.status().dirtyBytes == 4096)
        try await world.detach(commit: false)
    }

    @Test("the disk's stop ends the waiting", .timeLimit(.minutes(1)))
    func stopped() async throws {
        let store = GateStore(holding: "commits/")
        let world = try await EngineWorld(store: store, durability: .remote, uploadInterval: .seconds(3600))
        try await world.attach()
        store.close()
        try await world.write(0, page(5))
        let flush = Flush(world)
        try await store.untilWaiting()
        try await world.detach(commit: false)
        await #expect(throws: Errno.self) { try await flush.wait() }
        store.open()
        // Nothing is lost: it was durable here before the wait.
        try await world.attach()
        #expect(try await same(world.read(0, 4096), page(5)))
        try await world.detach()
    }

    @Test("the upload interval is how long dirty data stays here alone, and changes live", .timeLimit(.minutes(1)))
    func uploadInterval() async throws {
        let store = MemoryStore()
        let world = try await EngineWorld(store: store, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, page(1))
        try await Task.sleep(for: .milliseconds(300))
        #expect(await world.disk.status().dirtyBytes == 4096)
        world.disk.setUploadInterval(.milliseconds(50))
        while await world.disk.status().dirtyBytes > 0 { try await Task.sleep(for: .milliseconds(10)) }
        try await world.detach()
    }
}
