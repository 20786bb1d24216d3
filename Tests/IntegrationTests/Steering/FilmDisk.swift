import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

/// A mounted disk with files of noise, on Apache behind a link that counts.
struct FilmDisk {
    static let name = "films"
    private static let blockBytes = 1 << 20

    let daemon: DaemonUnderTest
    let link: LinkProxy
    let place: String

    /// Makes a disk and mounts it.
    static func make(
        _ filesystem: String,
        size: String = "2G",
        cacheSize: String,
        chunkSize: String = "256K",
        on daemon: DaemonUnderTest
    ) async throws -> FilmDisk {
        let server = try await ServerFarm.shared.server(.apache)
        let link = try await LinkProxy(to: server.port)
        let remote = try await TestRemote.make(.apache, for: daemon, port: link.port)
        let options = ["--cache-dir", "\(daemon.folder)/cache", "--cache-size", cacheSize, "--chunk-size", chunkSize]
        try await daemon.mustCtl(["create", name, "--size", size] + remote.arguments + options)
        let place = daemon.mountPoint(name)
        try await daemon.mustCtl("attach", name, "--mount", place, "--fs", filesystem)
        return FilmDisk(daemon: daemon, link: link, place: place)
    }

    func path(_ file: String) -> String { "\(place)/\(file)" }

    /// Writes a file of noise that no other has, from its end on when it is there.
    func append(_ file: String, mebibytes: Int, seed: UInt64) async throws {
        let path = path(file)
        try await blocking {
            var generator = Generator(seed: seed)
            var noise = generator.bytes(Self.blockBytes)
            let file = try OpenFile.open(path, flags: O_RDWR | O_CREAT, mode: 0o644)
            let start = try file.size()
            for block in 0..<mebibytes {
                noise.withUnsafeMutableBytes { noise in
                    for page in stride(from: 0, to: noise.count, by: 4096) {
                        noise.storeBytes(of: seed << 32 | UInt64(block), toByteOffset: page, as: UInt64.self)
                    }
                }
                try file.pwriteAll(noise, at: start + UInt64(block * Self.blockBytes))
            }
        }
    }

    // MARK: Asking

    func cache(_ words: String..., timeoutSeconds: Int = 120) async throws -> String {
        try await daemon.mustCtl(["cache"] + words, timeoutSeconds: timeoutSeconds)
    }

    /// What `cache ls` tells, by the path below the mount point.
    func entries(_ paths: String...) async throws -> [String: CacheEntry] {
        let words = ["cache", "ls", "--json", "--recursive"] + (paths.isEmpty ? [place] : paths.map(path))
        let text = try await daemon.mustCtl(words)
        var entries: [String: CacheEntry] = [:]
        for line in text.split(separator: "\n") {
            let page = try JSONDecoder().decode(CacheList.Output.self, from: Data(line.utf8))
            for entry in page.entries where entry.kind == .file {
                let path = try #require(entry.path)
                #expect(entries.updateValue(entry, forKey: String(path.dropFirst(place.count + 1))) == nil, "\(path)")
            }
        }
        return entries
    }

    func rules() async throws -> [CacheRule] {
        let text = try await cache("pins", Self.name, "--json")
        return try JSONDecoder().decode(CachePins.Output.self, from: Data(text.utf8)).rules
    }

    /// Waits until the rules are as they should be.
    func waitForRules(
        seconds: Int = 60,
        _ isRight: ([CacheRule]) -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            let rules = try await rules()
            if isRight(rules) { return }
            guard ContinuousClock.now < deadline else {
                Issue.record("the rules are \(rules)", sourceLocation: sourceLocation)
                return
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    // MARK: Counting

    /// Takes the cleverness away: what is read next comes from the disk.
    func dropKernelCaches() async throws {
        try await mustRun(["sync", "-f", place])
        try await mustRun(["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"])
    }

    /// Waits for what a filesystem does after a sync: xfs frees in the background what was deleted, and has metadata in
    /// its log alone.
    func settle() async throws {
        try await mustRun(["fsfreeze", "--freeze", place])
        try await mustRun(["fsfreeze", "--unfreeze", place])
    }

    /// The bytes that the server sends while a body runs. One frame of noise is 128 KiB; a look at the remote, which
    /// may fall into it, is under 4 KiB.
    func bytesFetched(_ body: () async throws -> Void) async throws -> Int {
        let before = try carried("down")
        try await body()
        return try carried("down") - before
    }

    /// The bytes that the link has carried one way: `up` to the server, or `down` from it.
    func carried(_ way: String) throws -> Int {
        let answer = try JSONValue(parsing: try link.tell("stats").utf8)
        guard case .integer(let bytes)? = answer[way] else {
            throw DaemonUnderTest.Failure(description: "The link does not count: \(answer.text)")
        }
        return Int(bytes)
    }

    /// Where a file's data lies, by `filefrag`: bytes of the disk.
    func extents(_ file: String) async throws -> [Range<UInt64>] {
        let text = try await mustRun(["filefrag", "-v", "-b4096", path(file)])
        let lines = text.matches(of: #/(?m)^\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*\d+:(.*)$/#)
        return lines.compactMap { line in
            guard let first = UInt64(line.1), let last = UInt64(line.2), !line.3.contains("unwritten") else {
                return nil
            }
            return first * 4096..<(last + 1) * 4096
        }
    }

    /// Everything is on the remote, and nothing of it here but what is pinned.
    func evictAll() async throws {
        try await daemon.mustCtl("sync", Self.name)
        _ = try await cache("evict", Self.name, "--wait")
    }

    /// The number of lines that a command prints, however many there are.
    func count(_ command: String) async throws -> Int {
        Int(try await mustRun(["sh", "-c", "\(command) | wc -l"]).trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
    }

    func readAll(_ files: [String]) async throws -> String {
        try await mustRun(["md5sum"] + files.map(path), timeoutSeconds: 600)
    }
}
