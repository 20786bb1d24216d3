import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

/// Rules 2, 5, 6 and 7: what leaves the cache, and what the remote holds at each moment.
extension Integration.OrderingRules {
    /// LMDB cannot forget: what it goes on naming must still be there.
    @Test(.timeLimit(.minutes(3)))
    func `rule 2: an eviction that fails loses nothing`() async throws {
        try await Self.show("rule2") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: "evict.before-forget=fail", sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<4 * Self.pagesPerChunk, seed: 6)
                try await contents.write(to: image)
                let evicted = try await daemon.ctl(["cache", "evict", "disk", "--wait"])
                #expect(evicted.status == 1 && evicted.errors.contains("evict.before-forget"), "\(evicted)")
                let violations = try await contents.violations(in: image, "after the eviction")
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }

    /// The daemon dies in the middle of an eviction; its records are compared with its cache file.
    @Test(.timeLimit(.minutes(3)))
    func `rule 2: LMDB forgets, then the hole is punched`() async throws {
        try await Self.show("rule2") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: "evict.after-punch=crash", sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<4 * Self.pagesPerChunk, seed: 7)
                try await contents.write(to: image)
                _ = try await daemon.ctl(["cache", "evict", "disk", "--wait"])
                try await daemon.waitForItsEnd()
                var violations = try await daemon.localStateComplaints()
                try await daemon.start()
                violations += try await contents.violations(in: daemon.image(), "after the crash")
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }

    /// Writes are numbered. The state of the commit must be one instant's: where a write is there, every earlier one
    /// is.
    @Test(.timeLimit(.minutes(3)))
    func `rule 5: a write to a sealed chunk is not in the sealed epoch`() async throws {
        try await Self.show("rule5") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                // Time between the seal and the uploader's reading; then only the remote counts.
                let faults = "capture.before-read=delay:3000,commit.after-object=crash"
                try await daemon.start(faults: faults, sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let chunk = Self.pagesPerChunk
                let writes = [UInt64(0), chunk, 2 * chunk, 1].enumerated().map { number, page in
                    PageContents(page..<page + 1, seed: UInt64(number) + 8)
                }
                try await writes[0].write(to: image, syncing: true)
                try await writes[1].write(to: image, syncing: true)
                async let sync = daemon.ctl(["sync", "disk"])
                while try await daemon.status("disk").upload.pendingBytes ?? 0 == 0 {
                    try await Task.sleep(for: .milliseconds(20))
                }
                // After the seal: a chunk that is not in the epoch, then one that is.
                try await writes[2].write(to: image)
                try await writes[3].write(to: image)
                _ = try await sync
                try await daemon.waitForItsEnd()

                var found: [Bool] = []
                for write in writes {
                    found.append(try await daemon.violations(of: write, rebuiltFrom: remote).isEmpty)
                }
                var violations: [String] = []
                for write in 0..<2 where !found[write] { violations.append("write \(write) is not in the epoch") }
                if let last = found.lastIndex(of: true), found[..<last].contains(false) {
                    violations.append("write \(last) is on the remote, an earlier one is not: \(found)")
                }
                try await daemon.start()
                _ = try await daemon.image()
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }

    /// The daemon dies as soon as the commit object is there: the remote alone must be the committed disk.
    @Test(.timeLimit(.minutes(3)))
    func `rule 6: the commit object comes after all that it names`() async throws {
        try await Self.show("rule6") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: "commit.after-object=crash", sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<3 * Self.pagesPerChunk, seed: 12)
                try await contents.write(to: image, syncing: true)
                _ = try await daemon.ctl(["sync", "disk"])
                try await daemon.waitForItsEnd()
                let violations = try await daemon.violations(of: contents, rebuiltFrom: remote)
                try await daemon.start()
                _ = try await daemon.image()
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }

    /// Everything is uploaded, nothing committed, and somebody evicts; then the daemon is killed.
    @Test(.timeLimit(.minutes(3)))
    func `rule 7: what is uploaded and not committed is not evicted`() async throws {
        try await Self.show("rule7") { sabotage in
            try await DaemonUnderTest.forOrdering { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start(faults: "commit.before-object=delay:20000", sabotage)
                let image = try await daemon.createOrderingDisk(on: remote)
                let contents = PageContents(0..<Self.pagesPerChunk, seed: 13)
                try await contents.write(to: image, syncing: true)
                async let sync = daemon.ctl(["sync", "disk"])
                while try !remote.objects().keys.contains(where: { $0.hasPrefix("blocks/") }) {
                    try await Task.sleep(for: .milliseconds(20))
                }
                // The answer to the upload is on its way through the engine.
                for _ in 0..<20 {
                    if try await daemon.evictQuietly() > 0 { break }
                    try await Task.sleep(for: .milliseconds(50))
                }
                try await daemon.crash()
                _ = try await sync

                try await daemon.start()
                let violations = try await contents.violations(in: daemon.image(), "after the kill")
                try await daemon.mustCtl("detach", "disk")
                return violations
            }
        }
    }
}
