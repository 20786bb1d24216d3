import Synchronization
import Testing
import VDriveModel
import VDriveStore

@testable import VDriveEngine

/// What a disk tells upward, and the waits that can be given up.
@Suite("reports of a disk", .timeLimit(.minutes(1)))
struct DiskReportTests {
    private func fill(_ value: UInt8, _ count: Int = 65536) -> [UInt8] { [UInt8](repeating: value, count: count) }

    private func failure(of body: () async throws -> Void) async -> DiskError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? DiskError
        }
    }

    @Test("commits, and the loss of the disk to another machine")
    func commitsAndFencing() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await one.attach()
        for chunk in 0..<3 as Range<UInt64> { try await one.write(chunk * 65536, fill(1)) }
        try await one.disk.sync()
        let commits = one.reports.withLock { $0 }.map { report in
            if case .committed(let version, let chunks, let bytes) = report {
                version.term == Term(1) && chunks == 3 && bytes == 3 * 65536
            } else {
                false
            }
        }
        #expect(commits == [true])
        try await two.attach(AttachIntent(takesOver: true))
        try await one.write(0, fill(2))
        #expect(await failure { try await one.disk.sync() }?.kind == .fenced)
        try await eventually { one.reports.withLock { $0.count } == 2 }
        guard case .failed(let error)? = one.reports.withLock({ $0 }).last else {
            Issue.record("no failure is told")
            return
        }
        #expect(error.kind == .fenced)
        try await one.detach(commit: false)
        try await two.detach()
    }

    @Test("writers that wait for room are told of, once, and that they no longer do")
    func pressure() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await EngineWorld(
            store: store,
            chunkBytes: 64 << 10,
            cacheBytes: 1 << 20,
            uploadInterval: .seconds(3600)
        )
        try await world.attach()
        func told() -> [Bool] {
            world.reports.withLock { $0 }.compactMap { if case .pressure(let isOn) = $0 { isOn } else { nil } }
        }
        store.close()
        let writing = Task { for chunk in 0..<40 as Range<UInt64> { try await world.write(chunk * 65536, fill(1)) } }
        try await eventually { !told().isEmpty }
        try await Task.sleep(for: .milliseconds(200))
        #expect(told() == [true])
        store.open()
        try await writing.value
        try await eventually { told().count == 2 }
        #expect(told() == [true, false])
        try await world.detach()
    }

    @Test("a sync that is cancelled ends at once, others and the upload go on")
    func cancelledSync() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await EngineWorld(store: store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await world.attach()
        try await world.write(0, fill(7))
        store.close()
        let given = Task { await failure { try await world.disk.sync() } }
        let kept = Task { await failure { try await world.disk.sync() } }
        try await store.untilWaiting()
        let progress = await world.disk.uploadProgress()
        #expect(progress.done == 0 && progress.left == 65536)
        given.cancel()
        #expect(await given.value?.kind == .busy)
        // One that was cancelled before it began.
        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            return await failure { try await world.disk.sync() }
        }
        early.cancel()
        #expect(await early.value?.kind == .busy)
        store.open()
        #expect(await kept.value == nil)
        let after = await world.disk.uploadProgress()
        #expect(after.done == 65536 && after.left == 0)
        try await world.detach()
    }

    @Test("an attach that is given up has claimed nothing")
    func givenUp() async throws {
        let one = try await EngineWorld(chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        let asked = Mutex(0)
        let error = await failure {
            try await one.attach(goesOn: {
                asked.withLock { $0 += 1 }
                return false
            })
        }
        #expect(error?.kind == .busy && asked.withLock { $0 } == 1)
        let two = try await EngineWorld(store: one.store, chunkBytes: 64 << 10, uploadInterval: .seconds(3600))
        try await two.attach()
        #expect(await two.disk.status().term == Term(1))
        try await two.detach()
        try await one.attach()
        try await one.detach()
    }

    @Test("a detached disk keeps nothing alive: not its store, nor whom it told")
    func end() async throws {
        weak var meter: StoreMeter?
        weak var listener: EngineWorld?
        do {
            let world = try await EngineWorld(chunkBytes: 64 << 10)
            try await world.attach()
            meter = world.disk.options.store.meter
            listener = world
            try await world.write(0, fill(1))
            try await world.detach()
        }
        try await eventually { meter == nil && listener == nil }
    }
}
