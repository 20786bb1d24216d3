import Foundation
import Linux
import Synchronization
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Writers that wait for room hold up nobody else.
    @Suite(.serialized)
    struct FullCacheTests {
        private static let mebibyte = 1 << 20
        /// More than there are FUSE threads and large buffers together.
        private static let writers = 100

        @Test(.timeLimit(.minutes(3)))
        func `a hundred small writes wait for room: what is cached is read, and a flush is answered`() async throws {
            try await DaemonUnderTest.use("full") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let options = ["--cache-dir", "\(daemon.folder)/cache", "--cache-size", "32M", "--chunk-size", "1M"]
                try await daemon.mustCtl(["create", "disk", "--size", "1G"] + remote.arguments + options)
                let image = try await daemon.attachImage("disk")
                try await daemon.mustCtl("upload", "pause", "disk")

                // More than the cache holds: its last writes wait, too.
                let filler = Task { try await Self.fio(image, "filler", offset: 0, size: 40 * Self.mebibyte, depth: 4) }
                try await Self.waitForWarning(daemon)
                let small = Task {
                    let size = Self.writers * 4096
                    return try await Self.fio(
                        image,
                        "small",
                        offset: 256 * Self.mebibyte,
                        size: size,
                        depth: Self.writers
                    )
                }
                try await Task.sleep(for: .seconds(2))
                #expect(!small.isCancelled)

                let isDone = Mutex(false)
                let others = Task {
                    let took = try await seconds {
                        try await blocking {
                            let file = try ImageFile(image, flags: O_RDWR | ImageFile.direct)
                            _ = try file.read(at: 0, count: 4096)
                            try file.file.sync()
                        }
                    }
                    isDone.withLock { $0 = true }
                    return took
                }
                let deadline = ContinuousClock.now + .seconds(20)
                while !isDone.withLock({ $0 }), .now < deadline { try await Task.sleep(for: .milliseconds(20)) }
                #expect(isDone.withLock { $0 }, "a cached read waits for writers that wait for room")

                try await daemon.mustCtl("upload", "resume", "disk")
                let took = try await others.value
                say("a read and a flush beside \(Self.writers) waiting writes: \(text(took * 1000)) ms")
                try await filler.value
                try await small.value
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// Many writes at a time that the kernel does not gather.
        private static func fio(_ image: String, _ name: String, offset: Int, size: Int, depth: Int) async throws {
            let block = size / depth >= mebibyte ? "1M" : "4k"
            let answer = try await runProgram(
                [
                    "fio", "--name=\(name)", "--filename=\(image)", "--rw=write", "--bs=\(block)", "--direct=1",
                    "--ioengine=libaio", "--iodepth=\(depth)", "--offset=\(offset)", "--size=\(size)",
                    "--refill_buffers", "--fallocate=none", "--allow_file_create=0",
                ],
                timeoutSeconds: 120
            )
            #expect(answer.isSuccess && !answer.output.contains("error"), "\(answer)")
        }

        private static func waitForWarning(_ daemon: DaemonUnderTest) async throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while try await !(daemon.status("disk").warnings ?? []).contains(where: { $0.contains("paused") }) {
                guard ContinuousClock.now < deadline else {
                    throw DaemonUnderTest.Failure(description: "Nobody waits for room.")
                }
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }
}
