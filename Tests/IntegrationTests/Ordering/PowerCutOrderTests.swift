import Foundation
import Testing
import VDriveTestKit

/// Rules 1 and 3: what may be recorded, and when it is durable. The machine's filesystem loses its power for real.
extension Integration.OrderingRules {
    @Test(.timeLimit(.minutes(3)), arguments: CuttableFilesystem.Kind.allCases)
    func `rule 1: fdatasync, then the record, then the reply`(filesystem: CuttableFilesystem.Kind) async throws {
        try await Self.show("rule1") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let machine = try await CuttableFilesystem.make(
                    filesystem,
                    image: "\(daemon.folder)/machine.img",
                    at: daemon.stateDirectory
                )
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let acknowledged = PageContents(10..<200, seed: 1)
                try await acknowledged.write(to: image, syncing: true)
                try await machine.cutPower()
                try await daemon.crash()
                try await machine.restorePower()

                try await daemon.start()
                var violations = try await acknowledged.violations(in: daemon.image(), "after the power cut")
                try await daemon.terminate()
                violations += try await daemon.localStateComplaints()
                try await machine.unmount()
                return violations
            }
        }
    }

    /// A page is filled into a dirty chunk, an eviction of others commits: nothing may be recorded of the fill, whose
    /// bytes are not durable. It would be zeros after a power cut, and be uploaded.
    @Test(.timeLimit(.minutes(3)))
    func `rule 3: a commit that is no flush records no page`() async throws {
        try await Self.show("rule3a") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let machine = try await CuttableFilesystem.make(
                    .ext4,
                    image: "\(daemon.folder)/machine.img",
                    at: daemon.stateDirectory
                )
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start()
                let before = PageContents(0..<4 * Self.pagesPerChunk, seed: 2)
                try await before.write(to: daemon.createOrderingDisk(on: remote))
                try await daemon.mustCtl("cache", "evict", "disk", "--wait")
                try await daemon.terminate()

                try await daemon.start(faults: sabotage)
                let path = try await daemon.image()
                let image = try await blocking { try ImageFile(path) }
                // One page of a chunk that is not here is written and flushed; the rest of it is only read.
                let chunk = Self.pagesPerChunk..<2 * Self.pagesPerChunk
                let page = PageContents(chunk.lowerBound..<chunk.lowerBound + 1, seed: 3)
                try await page.write(to: image, syncing: true)
                let expected = before.merging(page)
                try #require(try await expected.violations(in: image, "before the power cut") == [])
                #expect(try await daemon.evictQuietly() > 0)
                try await machine.cutPower()
                try await daemon.crash()
                withExtendedLifetime(image) {}
                try await machine.restorePower()

                try await daemon.start()
                var violations = try await expected.violations(in: daemon.image(), "after the power cut")
                try await daemon.terminate()
                violations += try await daemon.violations(of: expected, rebuiltFrom: remote)
                try await machine.unmount()
                return violations
            }
        }
    }

    /// A clean chunk is overwritten, no flush follows, the daemon is killed: the cache file may hold the new bytes.
    @Test(.timeLimit(.minutes(3)))
    func `rule 3: after an unclean stop a clean chunk is not trusted`() async throws {
        try await Self.show("rule3b") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start()
                let committed = PageContents(0..<2 * Self.pagesPerChunk, seed: 4)
                try await committed.write(to: daemon.createOrderingDisk(on: remote))
                try await daemon.terminate()

                try await daemon.start()
                let unflushed = PageContents(5..<9, seed: 5)
                let path = try await daemon.image()
                let file = try await blocking { try ImageFile(path) }
                try await unflushed.write(to: file)
                try await daemon.crash()
                withExtendedLifetime(file) {}

                try await daemon.start(faults: sabotage)
                let image = try await daemon.image()
                // Either bytes are right, but what was read once must be read again.
                let isNew = try await unflushed.violations(in: image, "").isEmpty
                let expected = isNew ? committed.merging(unflushed) : committed
                var violations = try await expected.violations(in: image, "after the kill")
                try await daemon.mustCtl("cache", "evict", "disk", "--wait")
                violations += try await expected.violations(in: image, "after an eviction")
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }
}
