import Foundation
import Linux
import Synchronization
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The cache never outgrows its limit, and writers wait instead of failing.
    @Suite(.serialized)
    struct CacheLimitTests {
        private static let limit = 96 << 20
        /// What may be in flight beside it.
        private static let slack = 64 << 20
        private static let blockBytes = 1 << 20

        @Test(.timeLimit(.minutes(3)))
        func `three times the cache's size goes through it`() async throws {
            try await DaemonUnderTest.use("limit") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let cache = "\(daemon.folder)/cache"
                try await daemon.create(
                    "disk",
                    size: "1G",
                    on: remote,
                    "--cache-dir",
                    cache,
                    "--cache-size",
                    "\(Self.limit)"
                )
                let image = try await daemon.attachImage("disk")
                let blocks = 3 * Self.limit / Self.blockBytes
                var generator = Generator(seed: 3)
                let noise = generator.bytes(Self.blockBytes)

                let watch = CacheWatch(folder: cache)
                let (writing, reading) = try await watch.during {
                    let writing = try await seconds {
                        try await blocking {
                            let file = try ImageFile(image)
                            for block in 0..<blocks {
                                try file.write(Self.stamped(noise, block), at: UInt64(block * Self.blockBytes))
                            }
                            try file.file.sync()
                        }
                    }
                    let reading = try await seconds {
                        let wrong = try await blocking {
                            let file = try ImageFile(image)
                            return try (0..<blocks).filter { block in
                                try file.read(at: UInt64(block * Self.blockBytes), count: Self.blockBytes)
                                    != Self.stamped(noise, block)
                            }
                        }
                        #expect(wrong.isEmpty, "blocks \(wrong)")
                    }
                    return (writing, reading)
                }
                let status = try await daemon.status("disk")
                say(
                    "\(blocks) MiB through a cache of \(mebibytes(Self.limit)) MiB: write \(text(writing)) s, "
                        + "read \(text(reading)) s, most on disk \(mebibytes(watch.most)) MiB"
                )
                #expect(watch.most > Self.limit / 2)
                #expect(watch.most <= Self.limit + Self.slack)
                #expect(status.cache.usedBytes ?? .max <= UInt64(Self.limit))
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// Noise in which every page says where it belongs.
        private static func stamped(_ noise: [UInt8], _ block: Int) -> [UInt8] {
            var bytes = noise
            bytes.withUnsafeMutableBytes { bytes in
                for page in stride(from: 0, to: bytes.count, by: 4096) {
                    bytes.storeBytes(of: UInt64(block * blockBytes + page), toByteOffset: page, as: UInt64.self)
                }
            }
            return bytes
        }
    }
}

/// Looks at what a folder takes on its filesystem, again and again.
private final class CacheWatch: Sendable {
    private let folder: String
    private let state = Mutex((most: 0, isOver: false))

    init(folder: String) { self.folder = folder }

    var most: Int { state.withLock { $0.most } }

    func during<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        let looking = Task {
            while !state.withLock({ $0.isOver }) {
                let answer = try await runProgram(["du", "-s", "-B1", folder])
                let bytes = answer.output.split(separator: "\t").first.flatMap { Int($0) } ?? 0
                state.withLock { $0.most = max($0.most, bytes) }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        defer { state.withLock { $0.isOver = true } }
        let value = try await body()
        state.withLock { $0.isOver = true }
        try await looking.value
        return value
    }
}
