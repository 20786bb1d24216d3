import Foundation
import Testing
import VDriveTestKit

extension Integration {
    /// The power goes while the daemon writes: cache and state lie on a filesystem that loses what was not synced.
    @Suite(.serialized)
    struct PowerCutTests {
        static let rounds = TortureForm.current.rounds(short: 4, long: 60)

        @Test(.timeLimit(.minutes(30)), arguments: CuttableFilesystem.Kind.allCases)
        func `after a power cut nothing that was acknowledged is lost`(kind: CuttableFilesystem.Kind) async throws {
            let seed = TortureForm.current.seed &+ (kind == .ext4 ? 4 : 6)
            try await DaemonUnderTest.use("cut-\(kind.rawValue)", starts: false) { daemon in
                let disk = try await CuttableFilesystem.make(
                    kind,
                    image: "\(daemon.folder)/power.image",
                    at: daemon.stateDirectory
                )
                try await daemon.start()
                let shape = TortureWorld.Shape(seed: seed, writers: kind == .ext4 ? 1 : 3)
                let world = try await TortureWorld.make(daemon, shape)
                try await Self.cutAgainAndAgain(world, disk, kind.rawValue)
                try await daemon.mustCtl("detach", TortureWorld.disk)
                try await daemon.terminate()
                try await disk.unmount()
            }
        }

        private static func cutAgainAndAgain(_ world: TortureWorld, _ disk: CuttableFilesystem, _ name: String)
            async throws
        {
            let daemon = world.daemon
            var generator = Generator(seed: world.seed)
            var cuts = 0
            var remotes = 0
            for round in 1...rounds {
                let moment = "\(name), cut \(round)"
                let delay = Int.random(in: 50...1200, using: &generator)
                try await world.underLoad(salt: UInt64(round)) {
                    try await Task.sleep(for: .milliseconds(delay))
                    try await disk.cutPower()
                    try await daemon.crash()
                }
                cuts += 1
                let copy = round % 2 == 0 ? try await world.keepRemote() : nil
                try await disk.restorePower()
                // Every other time the power goes once more while the daemon recovers.
                if round % 2 == 1 {
                    try await cutDuringRecovery(daemon, disk, Int.random(in: 5...250, using: &generator))
                    cuts += 1
                }
                try await daemon.start()
                async let remote: Void = world.checkRemote(copy, moment)
                try await world.checkLocal(moment, isTwofold: round % 2 == 0)
                try await remote
                if copy != nil { remotes += 1 }
            }
            TortureForm.report(
                "power cut \(name):",
                ["cuts": cuts, "remotes": remotes, "flushes": world.shadow.with { $0.acknowledgedFlushes }]
            )
        }

        /// Starts, and cuts after some milliseconds, whatever the daemon is doing then.
        private static func cutDuringRecovery(_ daemon: DaemonUnderTest, _ disk: CuttableFilesystem, _ delay: Int)
            async throws
        {
            async let start: Void = daemon.start()
            try await Task.sleep(for: .milliseconds(delay))
            try await disk.cutPower()
            // It answers before its disks are attached, or has ended because its state is gone: both are right.
            try? await start
            try await daemon.crash()
            try await disk.restorePower()
        }
    }
}
