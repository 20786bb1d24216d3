import Foundation
import Testing
import VDriveTestKit

/// Rule 4: what an attach may build on.
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
}
