import Foundation
import Linux
import Testing
import VDriveClient
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Each ordering rule of the design, section 6, and a test that is shown to fail when the rule is broken.
    ///
    /// A test runs one scenario twice. With the rule whole its checker finds nothing; with the rule broken on purpose
    /// (`OrderingRule`, armed by VDRIVE_FAULTS) the same scenario and the same checker find a violation.
    ///
    /// They use real daemons, and so stand among the integration tests: the fault registry is one for the whole
    /// process, a crash must take the process along, and a power cut needs a filesystem that nobody holds open.
    @Suite(.serialized)
    struct OrderingRules {
        /// The 16 MiB disk of every scenario, in chunks of 256 KiB: two frames, 64 pages.
        static let diskBytes = 16 << 20
        static let pagesPerChunk: UInt64 = 64

        /// Runs a scenario with the rule whole and with it broken.
        ///
        /// - Parameter scenario: gets what VDRIVE_FAULTS must say beside its own faults; returns what it found wrong.
        static func show(
            _ rule: String,
            _ scenario: (_ sabotage: String) async throws -> [String]
        ) async throws {
            let whole = try await scenario("")
            #expect(whole.isEmpty, "with \(rule) whole: \(whole.prefix(8))")
            let broken = try await scenario("\(rule)=broken")
            #expect(!broken.isEmpty, "\(rule) was broken, and nobody noticed")
            say("\(rule) broken: \(broken.count) violations, such as: \(broken.first ?? "none")")
        }
    }
}

/// Pages of a disk and what must be in them.
struct PageContents: Sendable {
    private(set) var pages: [UInt64: [UInt8]] = [:]

    /// Other bytes for each seed; no page is all zeros.
    init(_ range: Range<UInt64> = 0..<0, seed: UInt64 = 0) {
        var generator = Generator(seed: seed)
        for page in range { pages[page] = generator.bytes(4096) }
    }

    /// Pages of both, the other's where both have one.
    func merging(_ other: PageContents) -> PageContents {
        var merged = self
        merged.pages.merge(other.pages) { $1 }
        return merged
    }

    /// Closing a file flushes it, also in a child process: a test that wants no flush holds it open, and runs nothing.
    func write(to file: ImageFile, syncing: Bool = false) async throws {
        let pages = pages
        try await blocking {
            for (page, bytes) in pages.sorted(by: { $0.key < $1.key }) { try file.write(bytes, at: page * 4096) }
            if syncing { try file.file.sync() }
        }
    }

    func write(to image: String, syncing: Bool = false) async throws {
        try await write(to: blocking { try ImageFile(image) }, syncing: syncing)
    }

    /// - Returns: a sentence for each page that reads otherwise, or not at all.
    func violations(in file: ImageFile, _ when: String) async throws -> [String] {
        let pages = pages
        return try await blocking {
            pages.sorted { $0.key < $1.key }.compactMap { page, bytes in
                do throws(Errno) {
                    let found = try file.read(at: page * 4096, count: 4096)
                    if found == bytes { return nil }
                    let isZero = found.allSatisfy { $0 == 0 }
                    return "\(when): page \(page) reads as \(isZero ? "zeros" : "something else")"
                } catch {
                    return "\(when): page \(page) cannot be read: \(error)"
                }
            }
        }
    }

    func violations(in image: String, _ when: String) async throws -> [String] {
        try await violations(in: blocking { try ImageFile(image, flags: O_RDONLY) }, when)
    }
}

extension DaemonUnderTest {
    /// A daemon of the ordering tests, not started yet.
    static func forOrdering(_ body: (DaemonUnderTest) async throws -> [String]) async throws -> [String] {
        var violations: [String] = []
        try await use("order", starts: false) { violations = try await body($0) }
        return violations
    }

    /// Starts with these faults, beside which a sabotage may stand.
    func start(faults: String...) async throws {
        let text = faults.filter { !$0.isEmpty }.joined(separator: ",")
        try await start(environment: text.isEmpty ? [:] : ["VDRIVE_FAULTS": text])
    }

    /// Makes and attaches a disk that uploads only when it is asked to.
    ///
    /// - Returns: the path of its image.
    func createOrderingDisk(on remote: TestRemote) async throws -> String {
        let options = ["--chunk-size", "256K", "--cache-size", "8M", "--upload-interval", "3600"]
        let answer = try await ctl(["create", "disk", "--size", "16M"] + remote.arguments + options)
        guard answer.isSuccess else { throw ProgramFailure(answer: answer) }
        return try await attachImage("disk")
    }

    /// Waits for the disk after a start.
    func image() async throws -> String {
        guard let image = try await waitUntilAttached("disk").image else {
            throw Failure(description: "An attached disk has no image.")
        }
        return image
    }

    /// Evicts what is clean without running `vdrivectl`: a child closes the test's files at its exec, which flushes.
    ///
    /// - Returns: bytes dropped.
    func evictQuietly() async throws -> UInt64 {
        let socket = socket
        return try await blocking {
            var connection = try ControlConnection(path: socket)
            return try connection.call(CacheEvict.self, CacheEvict.Parameters(name: "disk")).evictedBytes
        }
    }

    /// What is wrong with LMDB and the cache file of a daemon that does not run.
    func localStateComplaints() async throws -> [String] {
        let state = stateDirectory
        return try await blocking {
            try LocalState.complaints(
                metadataDirectory: "\(state)/disks/disk",
                cacheDirectory: "\(state)/cache/disk"
            )
        }
    }

    /// What is wrong with the disk that the remote alone makes, without vdrive: `contrib/rebuild` makes it.
    func violations(of contents: PageContents, rebuiltFrom remote: TestRemote) async throws -> [String] {
        let script = SharedTools.packageFolder.appendingPathComponent("contrib/rebuild/rebuild").path
        let image = "\(folder)/rebuilt-\(UInt64.random(in: .min ... .max)).img"
        let answer = try await runProgram(["python3", script, remote.folder.path, image], timeoutSeconds: 60)
        guard answer.isSuccess else { return ["the remote alone makes no disk: \(answer.errors)"] }
        return try await contents.violations(in: image, "from the remote alone")
    }
}
