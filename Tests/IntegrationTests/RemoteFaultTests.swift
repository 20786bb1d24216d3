import Foundation
import Linux
import Synchronization
import Testing
import VDriveProtocol
import VDriveStore
import VDriveTestKit

extension Integration {
    /// Remote trouble is never data trouble: a real daemon and a real Apache, with a bad link and a bad server between.
    @Suite(.serialized)
    struct RemoteFaultTests {
        /// Something that goes wrong at the remote for a while.
        struct Fault {
            var name: String
            /// For httpfault.
            var rules: [String] = []
            /// For linkproxy, and what takes it back.
            var link: String?
            var linkBack = "pass"
            var seconds = 2.0
        }

        static let faults = [
            Fault(name: "500", rules: ["status=500"]),
            Fault(name: "503 with Retry-After", rules: ["method=PUT,GET,HEAD status=503 retry-after=1"]),
            Fault(name: "429", rules: ["status=429 retry-after=1"]),
            Fault(name: "507", rules: ["method=PUT status=507"], seconds: 4),
            Fault(name: "flipped byte", rules: ["method=GET path=/blocks/ corrupt=5000 times=2"]),
            Fault(name: "truncated body", rules: ["method=GET truncate=3000 prob=0.7"]),
            Fault(name: "short body", rules: ["method=GET path=/blocks/ short=1000 times=3"]),
            Fault(name: "stale body", rules: ["method=GET path=/blocks/ stale=1 prob=0.5"]),
            Fault(name: "whole object for a range", rules: ["method=GET path=/blocks/ norange"]),
            Fault(name: "lost reply of PUT", rules: ["method=PUT lost prob=0.5"]),
            Fault(name: "half PUT", rules: ["method=PUT halfput=1000 prob=0.5"]),
            Fault(name: "swallowed PUT", rules: ["method=PUT path=/blocks/ swallow prob=0.5"]),
            Fault(name: "dropped requests", rules: ["drop prob=0.4"]),
            Fault(name: "connections cut", link: "cut 300000", linkBack: "cut 0"),
            Fault(name: "connections reset", link: "reset"),
            Fault(name: "no server", link: "refuse", seconds: 4),
            Fault(name: "black hole", link: "blackhole", seconds: 4),
            Fault(name: "2 Mbit/s", link: "mbit 2", linkBack: "mbit 0", seconds: 4),
        ]

        @Test(.timeLimit(.minutes(5)))
        func `writers go on, readers wait, and nothing is lost`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let proxy = try await FaultProxy(to: server.port)
            let link = try await LinkProxy(to: proxy.port)
            try await DaemonUnderTest.use("faults") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: link.port)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "256K")
                let image = try await daemon.attachImage("disk")
                let model = StampedPages(regions: 2 * Self.faults.count)
                try await model.writeAll(image)
                try await daemon.mustCtl("sync", "disk")
                try await daemon.mustCtl("cache", "evict", "disk")
                for (number, fault) in Self.faults.enumerated() {
                    try await Self.pass(fault, number, daemon, image, model, proxy, link)
                }
                #expect(try await daemon.status("disk").damaged?.total == 0)
                #expect(!daemon.log.contains("object lost"))
                try await daemon.mustCtl("detach", "disk")
                try await Self.compare(model, with: remote, at: server)
            }
        }

        /// A fault comes, a writer and a reader are at work, the fault goes.
        private static func pass(
            _ fault: Fault,
            _ number: Int,
            _ daemon: DaemonUnderTest,
            _ image: String,
            _ model: StampedPages,
            _ proxy: FaultProxy,
            _ link: LinkProxy
        ) async throws {
            // What read-ahead has brought in already would meet no fault.
            try await daemon.mustCtl("cache", "evict", "disk")
            for rule in fault.rules { try proxy.add(rule) }
            if let command = fault.link { try link.tell(command) }
            // Pages that are on the remote alone.
            async let wrong = model.wrongPages(image, region: 2 * number)
            // Uploads meet the fault too.
            async let syncing = Self.syncSoon(daemon)
            let writes = try await model.write(image, region: 2 * number + 1, seconds: fault.seconds)
            #expect(writes > 20, "\(fault.name): only \(writes) writes went on")
            if fault.name == "507" {
                let full = try await daemon.ctl(["sync", "disk"])
                #expect(!full.isSuccess && full.errors.contains("no room"), "\(fault.name): \(full)")
            }
            if fault.name == "no server" {
                try await wait(for: "an offline remote", seconds: 30) {
                    try await daemon.status("disk").remote.state == "offline"
                }
            }
            // On a busy machine the reader and the upload may come late.
            if !fault.rules.isEmpty {
                let deadline = ContinuousClock.now + .seconds(30)
                while try proxy.hits() == 0, ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(100))
                }
                #expect(try proxy.hits() > 0, "\(fault.name) never happened")
            }
            try proxy.clear()
            if fault.link != nil { try link.tell(fault.linkBack) }
            let over = ContinuousClock.now
            let pages = try await wrong
            #expect(pages == [], "\(fault.name)")
            let synced = try await syncing
            #expect(synced.isSuccess || fault.name == "507", "\(fault.name): \(synced)")
            try await daemon.mustCtl("sync", "disk", timeoutSeconds: 60)
            let recovery = over.duration(to: .now) / .seconds(1)
            say("\(fault.name): \(writes) writes meanwhile, all synced \(text(recovery)) s after it was over")
            #expect(recovery < 45, "\(fault.name)")
        }

        private static func syncSoon(_ daemon: DaemonUnderTest) async throws -> ProgramAnswer {
            try await Task.sleep(for: .milliseconds(500))
            return try await daemon.ctl(["sync", "disk"])
        }

        /// Another machine finds all of it.
        private static func compare(_ model: StampedPages, with remote: TestRemote, at server: RealServer) async throws
        {
            try await DaemonUnderTest.use("faults2") { other in
                let straight = TestRemote(
                    url: try server.url(remote.folder.lastPathComponent).redacted,
                    credentials: remote.credentials,
                    folder: remote.folder
                )
                try await other.importDisk("again", from: straight)
                let image = try await other.attachImage("again")
                for region in 0..<model.regions {
                    #expect(try await model.wrongPages(image, region: region) == [], "region \(region)")
                }
                try await other.mustCtl("detach", "again")
            }
        }
    }
}

/// Pages on a disk, each with a content that follows from its place and the number of the write, in regions of 1 MiB.
final class StampedPages: Sendable {
    static let pageBytes = 4096
    static let pagesPerRegion = 256

    let regions: Int
    private let state: Mutex<(written: [UInt64], sequence: UInt64)>

    init(regions: Int) {
        self.regions = regions
        state = Mutex((Array(repeating: 0, count: regions * Self.pagesPerRegion), 0))
    }

    /// Noise, which no compression helps.
    private static func content(_ page: Int, _ sequence: UInt64) -> [UInt8] {
        var generator = Generator(seed: UInt64(page) << 40 | sequence)
        return generator.bytes(pageBytes)
    }

    /// Writes a page, in whose place only this caller writes.
    private func write(_ file: ImageFile, _ page: Int) throws {
        let sequence = state.withLock { state in
            state.sequence += 1
            return state.sequence
        }
        try file.write(Self.content(page, sequence), at: UInt64(page * Self.pageBytes))
        state.withLock { $0.written[page] = sequence }
    }

    func writeAll(_ image: String) async throws {
        try await blocking { [self] in
            let file = try ImageFile(image)
            for page in 0..<regions * Self.pagesPerRegion { try write(file, page) }
            try file.file.sync()
        }
    }

    /// How many writes there were.
    var sequence: UInt64 { state.withLock { $0.sequence } }

    /// Writes all pages of regions anew, and flushes.
    func rewrite(_ image: String, regions: Range<Int>) async throws {
        try await blocking { [self] in
            let file = try ImageFile(image)
            let pages = regions.lowerBound * Self.pagesPerRegion..<regions.upperBound * Self.pagesPerRegion
            for page in pages { try write(file, page) }
            try file.file.sync()
        }
    }

    /// Writes pages of a region anew for a while, with a flush now and then.
    ///
    /// - Returns: how many.
    func write(_ image: String, region: Int, seconds: Double) async throws -> Int {
        try await blocking { [self] in
            let file = try ImageFile(image)
            var generator = Generator(seed: UInt64(region))
            let end = ContinuousClock.now + .seconds(seconds)
            var count = 0
            while ContinuousClock.now < end {
                let page = Int.random(in: 0..<Self.pagesPerRegion, using: &generator)
                try write(file, region * Self.pagesPerRegion + page)
                count += 1
                if count % 64 == 0 { try file.file.sync() }
                usleep(2000)
            }
            return count
        }
    }

    /// Reads a region and compares it.
    func wrongPages(_ image: String, region: Int) async throws -> [Int] {
        let written = state.withLock { $0.written }
        return try await blocking {
            let file = try ImageFile(image)
            let pages = region * Self.pagesPerRegion..<(region + 1) * Self.pagesPerRegion
            var wrong: [Int] = []
            for first in stride(from: pages.lowerBound, to: pages.upperBound, by: 16) {
                let bytes = try file.read(at: UInt64(first * Self.pageBytes), count: 16 * Self.pageBytes)
                for page in first..<first + 16 {
                    let found = bytes[(page - first) * Self.pageBytes..<(page - first + 1) * Self.pageBytes]
                    let isRight = Array(found) == Self.content(page, written[page])
                    if !isRight { wrong.append(page) }
                }
            }
            return wrong
        }
    }
}
