import Foundation
import Linux
import Testing
import VDriveTestKit

extension Integration {
    /// What cold reads cost on a real link: counted at a proxy of 20 ms round trip, in bytes, never in time.
    @Suite(.serialized)
    struct ColdLinkTests {
        private static let blocks = 64

        private struct Stats: Decodable {
            var connections: Int
            var down: Int
        }

        private static func stats(_ link: LinkProxy) throws -> Stats {
            try JSONDecoder().decode(Stats.self, from: Data(link.tell("stats").utf8))
        }

        /// What came down the link while a body ran, and the connections that it opened.
        private static func over(_ link: LinkProxy, _ body: () async throws -> Void) async throws -> Stats {
            let before = try stats(link)
            try await body()
            let after = try stats(link)
            return Stats(connections: after.connections - before.connections, down: after.down - before.down)
        }

        @Test(.timeLimit(.minutes(3)))
        func `sequential readers fetch what they read, random ones a frame each`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let link = try await LinkProxy(to: server.port)
            defer { link.stop() }
            try await DaemonUnderTest.use("cold") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: link.port)
                try await daemon.create("disk", size: "1G", on: remote)
                let image = try await daemon.attachImage("disk")
                try await blocking {
                    let file = try ImageFile(image)
                    for block in 0..<Self.blocks { try file.write(Self.noise[block], at: UInt64(block) << 20) }
                    try file.file.sync()
                }
                try await daemon.mustCtl("sync", "disk")
                try link.tell("rtt 20")
                try link.tell("mbit 1000")
                let disk = Self.blocks << 20

                for isBackward in [false, true] {
                    try await daemon.mustCtl("cache", "evict", "disk")
                    let cost = try await Self.over(link) {
                        let order = Array(0..<Self.blocks)
                        try await Self.readAll(image, isBackward ? order.reversed() : order)
                    }
                    say("\(isBackward ? "backwards" : "forward"): \(mebibytes(cost.down)) MiB for \(Self.blocks)")
                    #expect(cost.down < disk * 105 / 100)
                    #expect(cost.connections <= 32)
                }

                try await daemon.mustCtl("cache", "evict", "disk")
                let reads = 64
                let cost = try await Self.over(link) {
                    try await blocking {
                        let file = try ImageFile(image)
                        var generator = Generator(seed: 7)
                        for _ in 0..<reads {
                            let page = Int.random(in: 0..<disk / 4096, using: &generator)
                            let bytes = try file.read(at: UInt64(page) * 4096, count: 4096)
                            let block = Self.noise[page / 256]
                            let isRight = bytes == Array(block[page % 256 * 4096..<(page % 256 + 1) * 4096])
                            #expect(isRight, "page \(page)")
                        }
                    }
                }
                say("random: \(text(Double(cost.down) / 1024 / Double(reads))) KiB over the link a read of 4 KiB")
                #expect(cost.down <= reads * 160 << 10)
            }
        }

        private static func readAll(_ image: String, _ blocks: [Int]) async throws {
            try await blocking {
                let file = try ImageFile(image)
                for block in blocks {
                    let isRight = try file.read(at: UInt64(block) << 20, count: 1 << 20) == noise[block]
                    #expect(isRight, "block \(block)")
                }
            }
        }

        /// Megabytes that no compression helps.
        private static let noise = (0..<blocks).map { block in
            var generator = Generator(seed: UInt64(block) + 1)
            return generator.bytes(1 << 20)
        }
    }
}
