import Foundation
import Linux
import Testing
import VDriveClient
import VDriveEngine
import VDriveProtocol
import VDriveTestKit

/// What may be in each page: one content after an acknowledged flush, more after writes of which nothing was promised.
private struct Expectation: Sendable {
    private static let zeros = [UInt8](repeating: 0, count: 4096)
    private var allowed: [UInt64: [[UInt8]]] = [:]

    mutating func wrote(_ contents: PageContents, isAcknowledged: Bool) {
        for (page, bytes) in contents.pages {
            allowed[page] = isAcknowledged ? [bytes] : allowed[page, default: [Self.zeros]] + [bytes]
        }
    }

    mutating func mayBeZero(_ pages: Range<UInt64>) {
        for page in pages { allowed[page, default: []].append(Self.zeros) }
    }

    /// - Returns: a sentence for each page that reads as nothing that it may be. An error is no wrong content.
    func violations(in image: String, _ when: String, mayFail: Bool) async throws -> [String] {
        let allowed = allowed
        return try await blocking {
            let file = try ImageFile(image, flags: O_RDONLY)
            return allowed.sorted { $0.key < $1.key }.compactMap { page, contents in
                do throws(Errno) {
                    let found = try file.read(at: page * 4096, count: 4096)
                    return contents.contains(found) ? nil : "\(when): page \(page) is wrong"
                } catch {
                    return mayFail ? nil : "\(when): page \(page) cannot be read: \(error)"
                }
            }
        }
    }
}

extension Integration {
    /// At each fault point that can fail, a step fails once. The disk may answer with errors then, and may turn
    /// read-only, but it never gives wrong bytes; and the next start without faults has all that was acknowledged.
    @Suite(.serialized)
    struct FailureTests {
        /// Failures of the cache's filesystem turn the disk read-only, so each of these has a run of its own.
        private static let groups: [[FaultPoint]] = [
            [.flushBeforeDataSync], [.flushAfterDataSync], [.flushAfterMetadata],
            [.preserveBeforeKeep, .preserveAfterKeep], [.preserveBeforeCopy], [.preserveAfterCopy],
            [.captureBeforeRead, .captureAfterRead, .putBeforeChunk, .putAfterChunk],
            [.commitBeforeObject, .commitAfterObject, .commitAfterLook, .commitBeforeHint],
            [.garbageBeforeDelete, .garbageAfterDeletes],
            [.mapBeforeNode, .mapAfterNode],
            [.evictBeforeForget, .evictAfterForget, .evictAfterPunch], [.fillAfterBytes],
            [.recoverAfterClaim, .recoverAfterStateRead, .recoverAfterTermNoted, .recoverAfterFirstCommit],
            [.recoverBeforeCache, .recoverWhilePunching, .recoverAfterCache],
            [.stopBeforeRecord],
        ]

        @Test func `every point that can fail is among them`() {
            let listed = Self.groups.flatMap(\.self)
            #expect(Set(listed) == Set(FaultPoint.allCases.filter(\.canFail)))
        }

        @Test(.timeLimit(.minutes(2)), arguments: groups)
        func `a step that fails gives no wrong byte, and costs nothing acknowledged`(
            points: [FaultPoint]
        ) async throws {
            try await DaemonUnderTest.use("fail", starts: false) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.start()
                let path = try await daemon.createOrderingDisk(on: remote)
                var expected = Expectation()
                let base = PageContents(0..<6 * Integration.OrderingRules.pagesPerChunk, seed: 30)
                try await base.write(to: path, syncing: true)
                expected.wrote(base, isAcknowledged: true)
                if points.contains(.mapBeforeNode) { try await daemon.commitOften(60, &expected) }
                // Something cached, something dirty and something unrecorded is there for the recovery.
                try await daemon.mustCtl("sync", "disk")
                let dirty = PageContents(100..<140, seed: 31)
                try await dirty.write(to: path, syncing: true)
                expected.wrote(dirty, isAcknowledged: true)
                let open = try await blocking { try ImageFile(path) }
                let unflushed = PageContents(1000..<1010, seed: 32)
                try await unflushed.write(to: open)
                expected.wrote(unflushed, isAcknowledged: false)
                try await daemon.crash()
                withExtendedLifetime(open) {}

                // A slow uploader, so that writes find sealed chunks.
                let faults = points.map { "\($0.rawValue)=fail@1*1" } + ["capture.before-read=delay:400"]
                try await daemon.start(environment: ["VDRIVE_FAULTS": faults.joined(separator: ",")])
                try await daemon.work(try await daemon.attachInTheEnd(), &expected)
                // Whatever it ends with: the last step may be the one that fails.
                try? await daemon.terminate()
                for point in points {
                    #expect(daemon.log.contains("fault \(point.rawValue): fail"), "\(point.rawValue) was not passed")
                }

                #expect(try await daemon.localStateComplaints() == [])
                try await daemon.start()
                let violations = try await expected.violations(in: daemon.image(), "in the end", mayFail: false)
                #expect(violations.isEmpty, "\(violations.prefix(8))")
                try await daemon.mustCtl("sync", "disk")
                try await daemon.mustCtl("detach", "disk")
            }
        }
    }
}

extension DaemonUnderTest {
    /// Commits without an end of changes: a checkpoint comes near.
    fileprivate func commitOften(_ count: Int, _ expected: inout Expectation) async throws {
        let image = try await image()
        for number in 0..<count {
            let page = PageContents(0..<1, seed: 1000 + UInt64(number))
            try await page.write(to: image, syncing: true)
            expected.wrote(page, isAcknowledged: true)
            try await call(DiskSync.self, DiskNameParameters(name: "disk"))
        }
    }

    private func call<Method: RPCMethod>(_ method: Method.Type, _ parameters: Method.Parameters) async throws {
        let socket = socket
        try await blocking {
            var connection = try ControlConnection(path: socket)
            _ = try connection.call(method, parameters)
        }
    }

    /// An attach that fails is asked for again.
    fileprivate func attachInTheEnd() async throws -> String {
        for _ in 0..<10 {
            if let image = try? await waitUntilAttached("disk", seconds: 2).image { return image }
            _ = try await ctl(["attach", "disk", "--fs", "none"])
        }
        throw Failure(description: "The disk does not come back.")
    }

    /// Passes every point of a running disk. Anything may fail, but what is read is right.
    fileprivate func work(_ image: String, _ expected: inout Expectation) async throws {
        var violations = try await expected.violations(in: image, "at first", mayFail: true)
        await write(PageContents(150..<160, seed: 33), image, &expected)
        await write(PageContents(200..<210, seed: 34), image, &expected)
        async let sync = ctl(["sync", "disk"])
        for _ in 0..<20 {
            if try await status("disk").upload.pendingBytes ?? 0 > 0 { break }
        }
        // Beside the sealed chunks: pages that are kept, a chunk that is copied.
        await write(PageContents(130..<135, seed: 35), image, &expected)
        await write(PageContents(152..<155, seed: 36), image, &expected)
        try? await blocking { try ImageFile(image).punch(at: 200 * 4096, count: 4 * 4096) }
        expected.mayBeZero(200..<204)
        _ = try await sync
        for round in 0..<3 {
            await write(PageContents(0..<10, seed: 40 + UInt64(round)), image, &expected)
            _ = try await ctl(["sync", "disk"])
        }
        for _ in 0..<4 {
            _ = try? await evictQuietly()
            violations += try await expected.violations(in: image, "after an eviction", mayFail: true)
        }
        await write(PageContents(300..<310, seed: 50), image, &expected)
        #expect(violations.isEmpty, "\(violations.prefix(8))")
    }

    private func write(_ contents: PageContents, _ image: String, _ expected: inout Expectation) async {
        do {
            try await contents.write(to: image, syncing: true)
            expected.wrote(contents, isAcknowledged: true)
        } catch {
            expected.wrote(contents, isAcknowledged: false)
        }
    }
}
