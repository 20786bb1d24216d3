import Foundation
import Glibc
import Linux
import Synchronization
import Testing
import VDriveEngine
import VDriveModel
import VDriveStore
import VDriveTestKit

/// The cache keeps within its limits, whatever is written and whoever else takes space.
@Suite struct LimitTests {
    private static let chunkBytes = 256 << 10
    private static let limit: UInt64 = 8 << 20

    private func slowStore() -> FaultyStore {
        FaultyStore(
            MemoryStore(),
            rules: [FaultyStore.Rule(.put, nameContains: "blocks/", .delay(.milliseconds(4)))]
        )
    }

    /// Looks again and again at what the cache takes, as long as something else goes on.
    private func peak(of world: EngineWorld, while body: () async throws -> Void) async throws -> UInt64 {
        let isDone = Mutex(false)
        let sampler = Task {
            var peak: UInt64 = 0
            while !isDone.withLock({ $0 }) {
                peak = max(peak, await world.disk.status().usedBytes)
                try? await Task.sleep(for: .milliseconds(1))
            }
            return peak
        }
        defer { isDone.withLock { $0 = true } }
        try await body()
        isDone.withLock { $0 = true }
        return await sampler.value
    }

    @Test("five times the cache, written by four over a slow remote: no error, never above limit and a chunk a writer")
    func limitHolds() async throws {
        let world = try await EngineWorld(
            store: slowStore(),
            diskBytes: 64 << 20,
            chunkBytes: Self.chunkBytes,
            cacheBytes: Self.limit
        )
        try await world.attach()
        let peak = try await peak(of: world) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        let piece = VerificationTests.noise(64 << 10, seed: UInt64(writer + 1))
                        for number in 0..<160 {
                            try await world.write(UInt64(writer * (16 << 20) + number * (64 << 10)), piece)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(peak > Self.limit / 2, "the cache was not used")
        #expect(peak <= Self.limit + 4 * UInt64(Self.chunkBytes), "\(peak) bytes of \(Self.limit)")
        try await world.disk.sync()
        try await checkMeasure(world)
        for writer in 0..<4 {
            let piece = VerificationTests.noise(64 << 10, seed: UInt64(writer + 1))
            #expect(try await same(world.read(UInt64(writer * (16 << 20) + 159 * (64 << 10)), 64 << 10), piece))
        }
        try await world.detach()
    }

    @Test("chunks rewritten while their epoch goes up: the copies count, too")
    func copiesCount() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await EngineWorld(
            store: store,
            diskBytes: 64 << 20,
            chunkBytes: Self.chunkBytes,
            cacheBytes: 64 << 20
        )
        try await world.attach()
        store.close()
        for number in 0..<28 {
            let bytes = VerificationTests.noise(Self.chunkBytes, seed: UInt64(number))
            try await world.write(UInt64(number * Self.chunkBytes), bytes)
        }
        let sync = Task { [disk = world.disk] in try await disk.sync() }
        try await store.untilWaiting()
        // Only now, so that all of it is one epoch.
        try await world.disk.setLimits(CacheLimits(hardBytes: Self.limit))
        // A punch of a chunk that waits for the uploader copies it whole; 7 of 8 MiB are used already.
        let punches = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<28 {
                    group.addTask { try await world.deallocate(UInt64(number * Self.chunkBytes + 8192), 4096) }
                }
                try await group.waitForAll()
            }
        }
        let peak = try await peak(of: world) {
            // Some are copied; the others wait.
            try await eventually { await world.disk.status().usedBytes > 7 << 20 + UInt64(Self.chunkBytes) }
            try await Task.sleep(for: .milliseconds(500))
        }
        #expect(peak <= Self.limit + UInt64(Self.chunkBytes), "\(peak) bytes of \(Self.limit)")
        store.open()
        try await punches.value
        try await sync.value
        try await world.disk.sync()
        for number in 0..<28 {
            var bytes = VerificationTests.noise(Self.chunkBytes, seed: UInt64(number))
            bytes.replaceSubrange(8192..<12288, with: repeatElement(0, count: 4096))
            #expect(try await same(world.read(UInt64(number * Self.chunkBytes), Self.chunkBytes), bytes))
        }
        try await world.detach()
    }

    @Test("what is written over trimmed chunks counts, also while their epoch cannot go up")
    func trimmedCounts() async throws {
        let store = GateStore(holding: "blocks/")
        let world = try await EngineWorld(
            store: store,
            diskBytes: 64 << 20,
            chunkBytes: Self.chunkBytes,
            cacheBytes: Self.limit
        )
        try await world.attach()
        let count = 160
        @Sendable func bytes(_ number: Int) -> [UInt8] {
            VerificationTests.noise(Self.chunkBytes, seed: UInt64(number))
        }
        for number in 0..<count { try await world.write(UInt64(number * Self.chunkBytes), bytes(number)) }
        try await world.disk.sync()
        store.close()
        try await world.write(0, bytes(1000))
        let sync = Task { [disk = world.disk] in try await disk.sync() }
        try await store.untilWaiting()
        // The next epoch: half of the chunks are trimmed whole, half page by page.
        for number in 1..<count {
            let start = UInt64(number * Self.chunkBytes)
            if number % 2 == 0 {
                try await world.deallocate(start, UInt64(Self.chunkBytes))
            } else {
                try await world.deallocate(start, 8192)
                try await world.deallocate(start + 8192, UInt64(Self.chunkBytes - 8192))
            }
        }
        let writers = (0..<4).map { writer in
            Outcome {
                for number in stride(from: writer + 1, to: count, by: 4) {
                    let new = bytes(number + 1000)
                    for start in stride(from: 0, to: Self.chunkBytes, by: 64 << 10) {
                        let piece = Array(new[start..<start + 64 << 10])
                        try await world.write(UInt64(number * Self.chunkBytes + start), piece)
                    }
                }
            }
        }
        let peak = try await peak(of: world) {
            try await eventually { world.isUnderPressure || writers.allSatisfy { $0.result != nil } }
            try await Task.sleep(for: .milliseconds(300))
        }
        #expect(peak > Self.limit / 2 && writers.allSatisfy { $0.result == nil }, "the writers should wait")
        #expect(peak <= Self.limit + 4 * UInt64(Self.chunkBytes), "\(peak) bytes of \(Self.limit)")
        store.open()
        for writer in writers { try await writer.end() }
        try await sync.value
        func check(_ when: String) async throws {
            for number in 0..<count {
                let found = try await world.read(UInt64(number * Self.chunkBytes), Self.chunkBytes)
                #expect(same(found, bytes(number + 1000)), "chunk \(number) \(when)")
            }
        }
        try await check("after the writers")
        try await world.flush()
        try await world.crash()
        try await world.attach()
        try await check("after a crash")
        try await world.detach()
        try world.loseMachine()
        try await world.attach()
        try await check("on the remote")
        try await world.detach()
    }

    @Test("a punch of a chunk that waits for the uploader ends with its capture, where pins leave no room for a copy")
    func noRoomForCopy() async throws {
        let store = GateStore(holding: "blocks/")
        let chunkBytes = 2 << 20
        let world = try await EngineWorld(store: store, chunkBytes: chunkBytes, cacheBytes: Self.limit)
        try await world.attach()
        let pinned = 0..<UInt64(7 << 20)
        for start in stride(from: 0, to: 7 << 20, by: 1 << 20) {
            try await world.write(UInt64(start), VerificationTests.noise(1 << 20, seed: UInt64(start)))
        }
        try await world.disk.sync()
        try await world.disk.setPins(PinRuleID(1), [pinned])
        try await world.disk.prefetch([pinned]) { _ in }
        store.close()
        // Four are on their way, the others wait.
        let chunks = 8..<16
        for chunk in chunks { try await world.write(UInt64(chunk * chunkBytes), [1, 2, 3]) }
        let sync = Task { [disk = world.disk] in try await disk.sync() }
        try await eventually { store.waiting == 4 }
        let punches = chunks.map { chunk in
            Outcome { try await world.deallocate(UInt64(chunk * chunkBytes), 4096) }
        }
        try await Task.sleep(for: .milliseconds(300))
        #expect(punches.contains { $0.result == nil }, "there was room for a copy")
        store.open()
        for punch in punches { try await punch.end() }
        try await sync.value
        for chunk in chunks { #expect(try await world.read(UInt64(chunk * chunkBytes), 4096).allSatisfy { $0 == 0 }) }
        try await world.detach()
    }

    /// What the status says is what du finds, within two percent.
    private func checkMeasure(_ world: EngineWorld) async throws {
        var (found, used): (UInt64, UInt64)
        repeat {
            used = await world.disk.status().usedBytes
            let output = try await runProgram(["du", "-s", "-B1", world.folder + "/cache"])
            found = try #require(UInt64(output.output.split(separator: "\t").first ?? ""), "\(output)")
            // What is cleaned meanwhile is in one of them alone.
        } while await world.disk.status().usedBytes != used
        // The folders and the identity file are du's alone.
        #expect(used <= found + found / 50 && found <= used + used / 50 + 32768, "du: \(found), status: \(used)")
    }

    @Test("above the soft limit the clean part goes in the background, down to the low mark")
    func softLimit() async throws {
        let full = CacheLimits(hardBytes: Self.limit, softPercent: 100, reservePercent: 0)
        let soft = CacheLimits(hardBytes: Self.limit, softPercent: 60, reservePercent: 0)
        let world = try await EngineWorld(diskBytes: 64 << 20, chunkBytes: Self.chunkBytes, limits: full)
        try await world.attach()
        func fill() async throws {
            for number in 0..<28 {
                let bytes = VerificationTests.noise(Self.chunkBytes, seed: UInt64(number))
                try await world.write(UInt64(number * Self.chunkBytes), bytes)
            }
        }
        try await fill()
        try await world.disk.sync()
        #expect(await world.disk.status().usedBytes == UInt64(28 * Self.chunkBytes))
        try await world.disk.setLimits(soft)
        try await eventually { await world.disk.status().usedBytes <= Self.limit * 55 / 100 }
        #expect(await world.disk.status().usedBytes > Self.limit * 45 / 100, "more went than had to")
        // Nobody asks for it: what is dirty goes up by itself, and then what is clean goes.
        try await fill()
        try await eventually { await world.disk.status().usedBytes <= Self.limit * 60 / 100 }
        try await world.detach()
    }

    @Test("a limit lowered while the disk is used is kept from then on; pins refuse what would not hold them")
    func liveChange() async throws {
        let world = try await EngineWorld(diskBytes: 64 << 20, chunkBytes: Self.chunkBytes, cacheBytes: 16 << 20)
        try await world.attach()
        for number in 0..<48 {
            try await world.write(
                UInt64(number * Self.chunkBytes),
                VerificationTests.noise(Self.chunkBytes, seed: UInt64(number))
            )
        }
        try await world.disk.sync()
        try await world.disk.setLimits(CacheLimits(hardBytes: 4 << 20))
        try await eventually { await world.disk.status().usedBytes <= 4 << 20 }
        #expect(try await same(world.read(0, 4096), Array(VerificationTests.noise(Self.chunkBytes, seed: 0)[..<4096])))

        try await world.disk.setLimits(CacheLimits(hardBytes: 16 << 20))
        let rule = PinRuleID(7)
        try await world.disk.setPins(rule, [0..<9 << 20])
        do {
            try await world.disk.setLimits(CacheLimits(hardBytes: 9 << 20))
            Issue.record("a limit below what is pinned was taken")
        } catch {
            #expect(error.kind == .outOfSpace && error.message.contains("\(10 << 20)"), "\(error)")
        }
        #expect(await world.disk.limits == CacheLimits(hardBytes: 16 << 20))
        try await world.disk.setLimits(CacheLimits(hardBytes: 10 << 20))
        await world.disk.removePins(rule)
        try await world.disk.setLimits(CacheLimits(hardBytes: 2 << 20))
        await #expect(throws: DiskError.self) { try await world.disk.setLimits(CacheLimits(hardBytes: 1000)) }
        await #expect(throws: DiskError.self) {
            try await world.disk.setLimits(CacheLimits(hardBytes: 8 << 20, softPercent: 5))
        }
        try await world.detach()
    }

    @Test(
        "the reserve of the filesystem counts as a limit, and somebody else's files make the cache shrink",
        .enabled(if: geteuid() == 0, "mounting a filesystem needs root")
    )
    func reserve() async throws {
        let folder = NSTemporaryDirectory() + "/vdrive-reserve-\(UUID().uuidString)"
        try Directory.createAll(folder)
        try await mustRun(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", folder])
        do {
            try await underPressure(folder)
        } catch {
            Issue.record(error)
        }
        try await mustRun(["umount", folder])
        try Directory.removeTree(folder)
    }

    private func underPressure(_ folder: String) async throws {
        let limits = CacheLimits(hardBytes: 256 << 20, softPercent: 80, reservePercent: 25)
        let world = try await EngineWorld(
            diskBytes: 256 << 20,
            chunkBytes: 1 << 20,
            limits: limits,
            folder: folder + "/world"
        )
        try await world.attach()
        func fill() async throws {
            for number in 0..<160 {
                try await world.write(
                    UInt64(number << 20),
                    VerificationTests.noise(1 << 20, seed: UInt64(number))
                )
            }
        }
        let peak = try await peak(of: world) { try await fill() }
        #expect(
            peak <= 97 << 20,
            "\(peak) bytes were used of 128 MiB with a quarter kept free"
        )
        #expect(await world.disk.status().effectiveLimitBytes <= 96 << 20)

        let other = folder + "/other"
        try Data(count: 48 << 20).write(to: URL(fileURLWithPath: other))
        try await eventually {
            let status = await world.disk.status()
            return status.usedBytes <= 48 << 20 && status.warnings.contains { $0.contains("kept free for others") }
        }
        try await fill()
        #expect(try FilesystemSpace.of(folder).availableBytes >= 30 << 20, "the reserve was eaten")
        try Directory.removeFile(other)
        try await world.disk.setLimits(CacheLimits(hardBytes: 64 << 20, softPercent: 80, reservePercent: 25))
        try await eventually { await world.disk.status().warnings.isEmpty }
        try await world.detach()
    }
}
