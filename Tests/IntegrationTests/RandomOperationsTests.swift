import Foundation
import Testing
import VDriveTestKit

extension Integration {
    /// fsx for a disk image: everything that can be done to it, in an order that a seed decides.
    @Suite(.serialized)
    struct RandomOperationsTests {
        struct World: Sendable, CustomTestStringConvertible {
            var seed: UInt64
            var chunkBytes: Int
            /// Small beside the disk, so that eviction and waiting happen; but eight chunks, or it does little else.
            var cacheSize: String { chunkBytes > 1 << 20 ? "32M" : "16M" }
            var testDescription: String { "seed \(seed), chunks of \(chunkBytes >> 10) KiB" }
        }

        /// Both chunk sizes when a seed is asked for; in a common run, one seed each.
        static let worlds: [World] = {
            let seeds = Generator.seeds(2026, 4711)
            let chunks = [64 << 10, 4 << 20]
            if seeds.count == 1 { return chunks.map { World(seed: seeds[0], chunkBytes: $0) } }
            return zip(seeds, chunks).map { World(seed: $0, chunkBytes: $1) }
        }()

        @Test(.timeLimit(.minutes(5)), arguments: worlds)
        func `ten thousand random operations agree with a shadow`(world: World) async throws {
            print("seed \(world.seed): set VDRIVE_SEED=\(world.seed) to run this world again")
            try await DaemonUnderTest.use("fsx") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create(
                    "fsx",
                    size: "64M",
                    on: remote,
                    "--chunk-size",
                    "\(world.chunkBytes)",
                    "--cache-size",
                    world.cacheSize
                )
                let image = try await daemon.attachImage("fsx")
                let run = RandomOperations(
                    world: world,
                    image: image,
                    socket: daemon.socket,
                    disk: "fsx",
                    diskBytes: 64 << 20
                )
                let took = try await seconds { try await blocking { try run.perform(10_000) } }
                try await daemon.mustCtl("sync", "fsx")
                try await blocking { try run.checkAll("at the end") }
                try await daemon.mustCtl("detach", "fsx")

                try await daemon.forgetEverything()
                try await daemon.importDisk("again", from: remote, "--cache-size", world.cacheSize)
                let second = try await daemon.attachImage("again")
                try await blocking { try run.checkAll("from the remote alone", image: second) }
                try await daemon.mustCtl("detach", "again")
                say("\(world.testDescription): 10000 operations in \(text(took)) s (\(run.summary))")
            }
        }
    }
}
