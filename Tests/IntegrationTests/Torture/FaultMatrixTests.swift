import Foundation
import Glibc
import Testing
import VDriveEngine
import VDriveTestKit

extension Integration {
    /// The daemon dies at each of its fault points, by itself.
    @Suite(.serialized)
    struct FaultMatrixTests {
        /// How a daemon comes by a point.
        private enum Way {
            /// Under load, at one of these passages; the seed says which.
            case load(ClosedRange<Int>)
            /// The same, when a checkpoint of the map is near.
            case checkpoint
            /// When it starts after a crash.
            case recovery
            /// The same, with bytes in the cache that nothing records.
            case sweep
            /// When it is told to end.
            case stop
        }

        private static func way(to point: FaultPoint) -> Way {
            switch point {
            case .flushBeforeDataSync, .flushAfterDataSync, .flushAfterMetadata: .load(5...60)
            case .sealAfterIncrement, .commitBeforeObject, .commitAfterObject, .commitAfterLook: .load(2...8)
            case .commitAfterMetadata, .commitBeforeHint: .load(2...8)
            case .preserveBeforeCopy, .preserveAfterCopy, .preserveBeforeKeep, .preserveAfterKeep: .load(1...3)
            case .captureBeforeRead, .captureAfterRead, .putBeforeChunk, .putAfterChunk: .load(5...60)
            case .mapBeforeNode, .mapAfterNode: .checkpoint
            case .evictBeforeForget, .evictAfterForget, .evictAfterPunch: .load(1...4)
            case .fillAfterBytes: .load(1...20)
            case .garbageBeforeDelete: .load(2...30)
            case .garbageAfterDeletes: .load(1...3)
            case .recoverAfterClaim, .recoverAfterStateRead, .recoverAfterTermNoted, .recoverAfterFirstCommit: .recovery
            case .recoverBeforeCache, .recoverAfterCache: .recovery
            case .recoverWhilePunching: .sweep
            case .stopBeforeRecord, .stopAfterRecord: .stop
            }
        }

        @Test(.timeLimit(.minutes(10)), arguments: FaultPoint.allCases)
        func `after a crash at the point nothing that was acknowledged is lost`(point: FaultPoint) async throws {
            let form = TortureForm.current
            let place = FaultPoint.allCases.firstIndex(of: point)!
            for repetition in 0..<form.rounds(short: 1, long: 5) {
                let seed = form.seed &+ UInt64(place * 1000 + repetition)
                var generator = Generator(seed: seed)
                let way = Self.way(to: point)
                let passage = if case .load(let range) = way { Int.random(in: range, using: &generator) } else { 1 }
                let faults = ["VDRIVE_FAULTS": "\(point.rawValue)=crash@\(passage)"]
                let moment = "\(point.rawValue), passage \(passage)"
                try await DaemonUnderTest.use("fault", starts: false) { daemon in
                    let shape = TortureWorld.Shape(seed: seed, writers: (place + repetition) % 2 == 0 ? 1 : 3)
                    let world = try await Self.dieThere(daemon, shape, way, faults, moment)
                    try await Self.comeBack(world, moment)
                    TortureForm.report(
                        "fault \(moment):",
                        [
                            "kills": 1, "remotes": form.isLong ? 2 : 1,
                            "flushes": world.shadow.with { $0.acknowledgedFlushes },
                        ]
                    )
                }
            }
        }

        /// Brings a daemon to the point, where it dies.
        private static func dieThere(
            _ daemon: DaemonUnderTest,
            _ shape: TortureWorld.Shape,
            _ way: Way,
            _ faults: [String: String],
            _ moment: String
        ) async throws -> TortureWorld {
            let isArmedAtOnce =
                switch way {
                case .load, .checkpoint, .stop: true
                case .recovery, .sweep: false
                }
            try await daemon.start(environment: isArmedAtOnce ? faults : [:])
            let world = try await TortureWorld.make(daemon, shape)
            var status: CInt = 0
            switch way {
            case .checkpoint:
                try await world.commitOften(60)
                fallthrough
            case .load:
                try await world.underLoad(salt: 1) { _ = try await daemon.waitForItsEnd() }
                status = 128 + SIGKILL
            case .stop:
                try await world.underLoad(salt: 1) { try await Task.sleep(for: .milliseconds(300)) }
                kill(daemon.pid, SIGTERM)
                status = try await daemon.waitForItsEnd()
            case .recovery:
                try await world.underLoad(salt: 1) {
                    try await Task.sleep(for: .milliseconds(500))
                    try await daemon.crash()
                }
            case .sweep:
                try await world.underLoad(salt: 1) { try await Task.sleep(for: .milliseconds(400)) }
                try await world.evict(wait: true)
                let files = try await world.writeUnflushed(3)
                try await daemon.crash()
                withExtendedLifetime(files) {}
            }
            if !isArmedAtOnce {
                // It may die before it answers, or soon after.
                try? await daemon.start(environment: faults)
                status = try await daemon.waitForItsEnd()
            }
            try #require(status == 128 + SIGKILL, "\(moment) was not reached: the daemon ended with \(status)")
            return world
        }

        /// Starts without a fault; both checkers.
        private static func comeBack(_ world: TortureWorld, _ moment: String) async throws {
            let copy = try await world.keepRemote()
            try await world.daemon.start()
            async let remote: Void = world.checkRemote(copy, moment)
            try await world.checkLocal(moment, isTwofold: true)
            try await remote
            if TortureForm.current.isLong { try await goOn(world, moment) }
            try await world.daemon.mustCtl("detach", TortureWorld.disk)
        }

        /// The disk is as good as before: written, synced, killed, and whole from the remote once more.
        private static func goOn(_ world: TortureWorld, _ moment: String) async throws {
            try await world.underLoad(salt: 2) { try await Task.sleep(for: .milliseconds(100)) }
            try await world.sync()
            try await world.daemon.crash()
            try await world.checkRemote(world.keepRemote(), "\(moment), and then a sync")
            try await world.daemon.start()
            try await world.checkLocal("\(moment), and then another kill")
        }
    }
}
