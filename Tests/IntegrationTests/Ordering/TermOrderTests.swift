import Foundation
import Testing
import VDriveTestKit

/// Rules 4 and 8: what an attach may build on.
extension Integration.OrderingRules {
    /// The daemon dies between the upload and the commit of an epoch, and other bytes are written afterwards: an object
    /// name must never stand for two contents, or a late upload of the dead one could damage the living one's commit.
    @Test(.timeLimit(.minutes(3)))
    func `rule 4: an unclean start takes a new term`() async throws {
        try await Self.show("rule4") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: "put.after-chunk=crash", sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                try await PageContents(0..<Self.pagesPerChunk, seed: 14).write(to: image, syncing: true)
                _ = try await daemon.ctl(["sync", "disk"])
                try await daemon.waitForItsEnd()
                let before = try Self.blocks(of: remote)
                #expect(!before.isEmpty)

                try await daemon.start(faults: sabotage)
                let after = PageContents(0..<Self.pagesPerChunk, seed: 15)
                try await after.write(to: daemon.image(), syncing: true)
                try await daemon.mustCtl("sync", "disk")
                let now = try Self.blocks(of: remote)
                let violations = before.keys.filter { now[$0] != nil && now[$0] != before[$0] }.map {
                    "\($0) was written twice, with other bytes"
                }
                try await daemon.mustCtl("detach", "disk")
                return try await violations + daemon.violations(of: after, rebuiltFrom: remote)
            }
        }
    }

    private static func blocks(of remote: TestRemote) throws -> [String: Data] {
        var blocks: [String: Data] = [:]
        for path in try remote.objects().keys where path.hasPrefix("blocks/") {
            blocks[path] = try? Data(contentsOf: remote.folder.appendingPathComponent(path))
        }
        return blocks
    }

    /// A machine dies with changes that it had not uploaded, another one takes the disk over and writes: the first may
    /// not mix its own into that.
    @Test(.timeLimit(.minutes(3)))
    func `rule 8: an attach compares the remote's head with its own`() async throws {
        try await Self.show("rule8") { sabotage in
            try await DaemonUnderTest.forOrdering { first in
                let remote = try await TestRemote.make(.file, for: first)
                try await first.start()
                let base = PageContents(0..<3 * Self.pagesPerChunk, seed: 16)
                try await base.write(to: first.createOrderingDisk(on: remote))
                try await first.terminate()
                try await first.start()
                try await PageContents(0..<2 * Self.pagesPerChunk, seed: 17).write(to: first.image(), syncing: true)
                try await first.crash()

                let others = PageContents(Self.pagesPerChunk..<2 * Self.pagesPerChunk, seed: 18)
                try await DaemonUnderTest.use("order2") { second in
                    try await second.importDisk("disk", from: remote)
                    try await second.mustCtl("attach", "disk", "--fs", "none", "--takeover")
                    try await others.write(to: second.image())
                    try await second.mustCtl("detach", "disk")
                }
                let expected = base.merging(others)
                try #require(try await first.violations(of: expected, rebuiltFrom: remote) == [])

                try await first.start(faults: sabotage)
                // Long enough for an attach that should not be, and for what it would upload at the end.
                _ = try? await first.waitUntilAttached("disk", seconds: 3)
                _ = try await first.ctl(["sync", "disk"])
                let violations = try await first.violations(of: expected, rebuiltFrom: remote)
                try await first.terminate()
                return violations
            }
        }
    }
}
