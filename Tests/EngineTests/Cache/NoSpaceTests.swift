import Foundation
import Linux
import Synchronization
import Testing
import VDriveModel
import VDriveTestKit

@testable import VDriveEngine

/// Writes that the cache's filesystem takes in part only, because somebody else has filled it.
@Suite(.enabled(if: geteuid() == 0, "mounting a filesystem needs root"))
struct NoSpaceTests {
    private static let pageBytes = DiskGeometry.pageBytes

    @Test("what is taken back of a write that found no space is nothing that another has written meanwhile")
    func takenBack() async throws {
        let folder = NSTemporaryDirectory() + "/vdrive-space-\(UUID().uuidString)"
        try Directory.createAll(folder)
        try await mustRun(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder])
        do { try await takenBack(folder) } catch { Issue.record(error) }
        try await mustRun(["umount", "-l", folder])
        try Directory.removeTree(folder)
    }

    private func takenBack(_ folder: String) async throws {
        let world = try await EngineWorld(
            chunkBytes: 1 << 20,
            limits: CacheLimits(hardBytes: 16 << 20, softPercent: 100, reservePercent: 0),
            folder: folder + "/world",
            uploadInterval: .seconds(3600)
        )
        try await world.attach()
        // A chunk that is here in part, and dirty.
        try await world.write(0, [UInt8](repeating: 1, count: 1 << 20))
        try await world.disk.sync()
        _ = try await world.disk.evict(wait: true)
        try await world.write(0, [UInt8](repeating: 2, count: Self.pageBytes))
        let other = folder + "/other"
        let free = try Int(FilesystemSpace.of(folder).availableBytes)
        try Data(repeating: 7, count: free - 20 * Self.pageBytes).write(to: URL(fileURLWithPath: other))

        // Calls on the cache file are held back before the large write, and again before what comes after it.
        let gates = [Gate(), Gate()]
        let threads = await world.disk.cache.threads
        gates[0].hold(threads)
        let large = Task { try await world.write(4096, [UInt8](repeating: 3, count: 100 * Self.pageBytes)) }
        try await Task.sleep(for: .milliseconds(300))
        gates[1].hold(threads)
        gates[0].open()
        try await Task.sleep(for: .milliseconds(300))
        let isWritten = Mutex(false)
        let small = Task {
            try await world.write(4096, [UInt8](repeating: 4, count: Self.pageBytes))
            isWritten.withLock { $0 = true }
        }
        try await Task.sleep(for: .milliseconds(100))
        gates[1].open()
        try await eventually { isWritten.withLock { $0 } }
        // The large write is tried again every now and then; until it succeeds the page is what one of the two wrote.
        var seen: Set<UInt8> = []
        for _ in 0..<200 {
            seen.formUnion(try await world.read(4096, Self.pageBytes))
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect(seen.isSubset(of: [3, 4]), "\(seen)")
        try Directory.removeFile(other)
        try await large.value
        try await small.value
        try await world.detach()
    }
}

/// Keeps the threads that do the I/O on the cache file.
private final class Gate: Sendable {
    private let isOpen = Atomic(false)

    func open() { isOpen.store(true, ordering: .releasing) }

    func hold(_ threads: BlockingThreads) {
        for _ in 0..<EngineLimits.cacheThreads {
            threads.submit { while !self.isOpen.load(ordering: .acquiring) { usleep(1000) } }
        }
    }
}
