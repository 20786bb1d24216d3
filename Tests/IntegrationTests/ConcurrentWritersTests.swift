import Foundation
import Glibc
import Linux
import Testing
import VDriveTestKit

extension Integration {
    /// Many threads on one image, each with pages of its own, while the cache is evicted and uploads run.
    @Suite(.serialized)
    struct ConcurrentWritersTests {
        private static let writers = 6
        private static let operations = 1500
        private static let pages = 64 << 8

        /// Evicts and syncs until it is cancelled.
        private static func disturb(_ daemon: DaemonUnderTest) async throws {
            let acts = [["cache", "evict", "disk"], ["sync", "disk"], ["cache", "evict", "disk", "--wait"]]
            var round = 0
            while !Task.isCancelled {
                let answer = try await daemon.ctl(acts[round % acts.count])
                guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
                round += 1
            }
        }

        @Test(.timeLimit(.minutes(4)), arguments: Generator.seeds(11))
        func `writers on neighbouring pages never see each other's bytes`(seed: UInt64) async throws {
            print("seed \(seed): set VDRIVE_SEED=\(seed) to run this world again")
            try await DaemonUnderTest.use("many") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "256K", "--cache-size", "16M")
                let image = try await daemon.attachImage("disk")
                let writers = (0..<Self.writers).map { number in
                    PageWriter(
                        seed: seed &+ UInt64(number),
                        image: image,
                        first: number,
                        step: Self.writers,
                        pages: Self.pages
                    )
                }
                let took = try await seconds {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await Self.disturb(daemon) }
                        for writer in writers {
                            group.addTask { try await blocking { try writer.perform(Self.operations) } }
                        }
                        for _ in writers { try await group.next() }
                        group.cancelAll()
                        try await group.waitForAll()
                    }
                }
                say("\(Self.writers) writers, \(Self.writers * Self.operations) operations in \(text(took)) s")
                for writer in writers { try await blocking { try writer.checkAll(image, "at the end") } }
                try await daemon.mustCtl("detach", "disk")
                try await daemon.forgetEverything()
                try await daemon.importDisk("again", from: remote, "--cache-size", "16M")
                let second = try await daemon.attachImage("again")
                for writer in writers { try await blocking { try writer.checkAll(second, "from the remote") } }
                try await daemon.mustCtl("detach", "again")
            }
        }
    }
}

/// Writes, reads and punches every n-th page of an image, and knows what is on them.
private final class PageWriter: @unchecked Sendable {
    // SAFETY: used by one thread at a time; the test awaits `perform` before it calls `checkAll`.
    private let image: String
    private let first: Int
    private let step: Int
    private let pages: Int
    private var generator: Generator
    private let seed: UInt64
    /// What fills a page, by the page; a page that is not in it is zeros.
    private var content: [Int: UInt64] = [:]

    init(seed: UInt64, image: String, first: Int, step: Int, pages: Int) {
        self.seed = seed
        self.image = image
        self.first = first
        self.step = step
        self.pages = pages
        generator = Generator(seed: seed)
    }

    private static func page(_ stamp: UInt64?) -> [UInt8] {
        guard let stamp else { return [UInt8](repeating: 0, count: 4096) }
        var generator = Generator(seed: stamp)
        return generator.bytes(4096)
    }

    func perform(_ count: Int) throws {
        let file = try ImageFile(image)
        for number in 0..<count {
            let page = first + step * Int.random(in: 0..<(pages - first) / step, using: &generator)
            let offset = UInt64(page * 4096)
            switch Int.random(in: 0..<20, using: &generator) {
            case 0..<10:
                let stamp = generator.next()
                try file.write(Self.page(stamp), at: offset)
                content[page] = stamp
            case 10..<12:
                try file.punch(at: offset, count: 4096)
                content[page] = nil
            case 12: try file.file.datasync()
            default: try check(file, page, "operation \(number)")
            }
        }
    }

    private func check(_ file: ImageFile, _ page: Int, _ moment: String) throws {
        let found = try file.read(at: UInt64(page * 4096), count: 4096)
        let right = Self.page(content[page])
        guard found != right else { return }
        let wrong = zip(found, right).count { $0 != $1 }
        let kind = found.allSatisfy { $0 == 0 } ? "zeros" : "other bytes"
        throw RandomOperations.Difference(
            description: "seed \(seed), \(moment): \(wrong) bytes of page \(page) are wrong (\(kind) in place of "
                + "\(content[page] == nil ? "zeros" : "data"))"
        )
    }

    func checkAll(_ image: String, _ moment: String) throws {
        let file = try ImageFile(image, flags: O_RDONLY)
        for page in stride(from: first, to: pages, by: step) { try check(file, page, moment) }
    }
}
