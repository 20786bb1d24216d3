import Foundation
import Glibc
import Testing
import VDriveTestKit

extension Integration {
    /// The daemon is killed at random instants while it writes; the same disk goes on from round to round.
    @Suite(.serialized)
    struct KillTests {
        struct Run: Sendable, CustomTestStringConvertible {
            var writers: Int
            var chunkSize: String
            var rounds: Int
            var testDescription: String { "\(writers) writers, chunks of \(chunkSize)" }
        }

        static let runs: [Run] = {
            let form = TortureForm.current
            return [
                Run(writers: 1, chunkSize: "256K", rounds: form.rounds(short: 6, long: 100)),
                Run(writers: 4, chunkSize: "64K", rounds: form.rounds(short: 6, long: 100)),
                // Chunks of several frames are here in part most of the time.
                Run(writers: 4, chunkSize: "1M", rounds: form.rounds(short: 6, long: 100)),
            ]
        }()

        @Test(.timeLimit(.minutes(30)), arguments: runs)
        func `after kill -9 at a random instant nothing that was acknowledged is lost`(run: Run) async throws {
            let seed = TortureForm.current.seed &+ UInt64(run.writers)
            var generator = Generator(seed: seed)
            var remotes = 0
            try await DaemonUnderTest.use("kill") { daemon in
                let shape = TortureWorld.Shape(seed: seed, writers: run.writers, chunkSize: run.chunkSize)
                let world = try await TortureWorld.make(daemon, shape)
                for round in 1...run.rounds {
                    let moment = "\(run.testDescription), round \(round)"
                    let delay = Int.random(in: 1...900, using: &generator)
                    let ends = try await world.underLoad(salt: UInt64(round)) {
                        try await Task.sleep(for: .milliseconds(delay))
                        try await daemon.crash()
                    }
                    // EIO: the kernel was just handing the request over when the daemon died.
                    let gone: [StampedWriter.End] = [.told] + [ENOTCONN, ECONNABORTED, EIO].map { .refused($0) }
                    #expect(ends.allSatisfy(gone.contains), "\(moment): \(ends)")
                    let copy = round % 3 == 0 ? try await world.keepRemote() : nil
                    try await daemon.start()
                    async let remote: Void = world.checkRemote(copy, moment)
                    try await world.checkLocal(moment, isTwofold: round % 4 == 0)
                    try await remote
                    if copy != nil { remotes += 1 }
                }
                try await daemon.mustCtl("detach", TortureWorld.disk)
                // The daemon itself has refused nothing: it says so before it answers.
                let refusals = daemon.log.split(separator: "\n").filter { line in
                    ["request failed", "read failed", "write failed"].contains { line.contains($0) }
                }
                #expect(refusals.isEmpty)
                TortureForm.report(
                    "kill \(run.testDescription):",
                    [
                        "kills": run.rounds, "remotes": remotes,
                        "flushes": world.shadow.with { $0.acknowledgedFlushes },
                    ]
                )
            }
        }
    }
}
