import ArgumentParser
import Glibc
import VDriveClient
import VDriveProtocol

struct Cache: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The cache: what is in it, what comes in, goes, and stays.",
        subcommands: [
            List.self, Prefetch.self, Evict.self, Pin.self, Unpin.self, Pins.self, Limits.self,
        ]
    )
}

/// A disk by its name, or files and folders on mounted disks.
struct TargetArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A disk's name; or files and folders, each with a slash or a dot in front, such as ./films.",
            valueName: "name-or-path"
        ),
        completion: .file()
    )
    var targets: [String]
    @Option(help: "The first byte of a disk that is meant, such as 1G; 0 when left out.") var offset: Bytes?
    @Option(help: "How many bytes from there on; to the disk's end when left out.") var length: Bytes?
    @Flag(name: .shortAndLong, help: "All that lies below a folder, too.") var recursive = false

    /// What it is in words.
    var text: String { targets.count == 1 ? targets[0] : "\(targets.count) paths" }

    func target(metadata: Bool = false) throws -> CacheTarget {
        var target = CacheTarget(
            offset: offset?.count,
            length: length?.count,
            recursive: recursive ? true : nil,
            metadata: metadata ? true : nil
        )
        let arePaths = targets.map { $0.utf8.contains(UInt8(ascii: "/")) || $0.utf8.first == UInt8(ascii: ".") }
        if arePaths.allSatisfy({ $0 }) {
            target.paths = try targets.map(Self.resolved)
        } else {
            guard targets.count == 1 else {
                throw Complaint(sentence: "Give one disk's name, or paths with a slash or a dot in front.")
            }
            target.name = targets[0]
        }
        return target
    }

    /// Links are followed here: the daemon goes by names alone until it looks at the disk.
    private static func resolved(_ path: String) throws -> String {
        guard let real = realpath(path, nil) else { return try absolute(path) ?? path }
        defer { free(real) }
        return String(cString: real)
    }
}

extension Cache {
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls",
            abstract: "Shows what of a disk, or of files, is in the cache.",
            discussion: """
                STATE is cached, when reading needs no remote; partial; or cloud, when all is on the remote alone. \
                Behind it stand dirty, when some of it is not on the remote yet, and pinned, when all of it stays.
                """
        )
        /// More are not sorted, but printed as they come.
        private static let sortedMax = 20_000

        @OptionGroup var target: TargetArguments
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            guard !output.json else { return try printJSON() }
            var entries: [CacheEntry] = []
            var isFirst = true
            try forEachPage { answer in
                let page = try ControlConnection.decode(CacheList.self, from: answer)
                entries += page.entries
                guard page.next == nil || entries.count >= Self.sortedMax else { return }
                print(Self.table(entries, hasHead: isFirst))
                isFirst = false
                entries = []
            }
        }

        private func forEachPage(_ body: (JSONValue) throws -> Void) throws {
            var daemon = try ControlConnection(path: connection.socket)
            var parameters = CacheList.Parameters(try target.target(), limit: RPCLimits.cacheEntriesMax)
            repeat {
                let answer = try daemon.answer(to: CacheList.self, parameters)
                try body(answer)
                parameters.token = nil
                if case .string(let token)? = answer["next"] { parameters.token = token }
            } while parameters.token != nil
        }

        /// One object, as if all were one page, written as the pages come. What fails behind the first page leaves it
        /// without its end, so that no program takes it for all.
        private func printJSON() throws {
            var before = #"{"entries":["#
            try forEachPage { answer in
                guard case .array(let entries)? = answer["entries"] else { return }
                for entry in entries {
                    print(before, entry.text, separator: "", terminator: "")
                    before = ","
                }
            }
            if before != "," { print(before, terminator: "") }
            print(#"],"next":null}"#)
        }

        private static func table(_ entries: [CacheEntry], hasHead: Bool) -> String {
            var table = Table(
                columns: hasHead ? ["SIZE", "DATA", "CACHED", "STATE", "PATH"] : nil,
                style: .standardOutput
            )
            for entry in entries.sorted(by: { $0.name < $1.name }) {
                guard entry.kind != .directory else {
                    table.add(["-", "-", "-", "-", entry.name + "/"])
                    continue
                }
                let sizes = [entry.sizeBytes, entry.dataBytes, entry.cachedBytes].map { ByteSize.text($0) }
                table.add(sizes + [entry.words, entry.name])
            }
            return table.text
        }
    }

    struct Prefetch: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Brings data in, so that it is local when it is needed."
        )

        @OptionGroup var target: TargetArguments
        @Flag(help: "What the filesystem keeps about the files, in place of what is in them.") var metadata = false
        @Flag(help: "Return when all is here; otherwise the job's id is printed, see vdrivectl jobs.") var wait = false
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.reportJob(
                CachePrefetch.self,
                CacheTargetOnly(try target.target(metadata: metadata)),
                what: "prefetch \(target.text)",
                isBackground: !wait,
                as: output
            ) { result in
                "fetched \(target.text): \(result.found.words)"
            }
        }
    }

    struct Evict: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Drops cached data that is on the remote.",
            discussion: """
                Of a disk that is named alone, all that is clean goes. A part of a disk, and files, are uploaded first \
                where they are dirty. What is pinned stays.
                """
        )

        @OptionGroup var target: TargetArguments
        @Flag(help: "What the filesystem keeps about the files, in place of what is in them.") var metadata = false
        @Flag(help: "Upload what is dirty first, and drop it too.") var wait = false
        @OptionGroup var job: JobOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.reportJob(
                CacheEvict.self,
                CacheEvict.Parameters(try target.target(metadata: metadata), wait: wait),
                what: "evict \(target.text)",
                isBackground: job.background,
                as: output
            ) { result in
                var sentence: Shown = "evicted \(ByteSize.text(result.evictedBytes)) of \(target.text)"
                if let pinned = result.pinnedBytes, pinned > 0 { sentence += "; \(ByteSize.text(pinned)) are pinned" }
                if let dirty = result.dirtyBytes, dirty > 0 { sentence += "; \(ByteSize.text(dirty)) are dirty again" }
                return sentence
            }
        }
    }

    struct Pin: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keeps data in the cache, and brings in what is not there.",
            discussion: """
                A pin on files is a rule: it follows them when they grow or move, takes in what is new below a folder, \
                and holds after restarts, until it is unpinned. With --metadata it is not about what is in the files, \
                but about what the filesystem keeps about them, so that ls -R and find need no remote; with a disk's \
                name, about all of its files.
                """
        )

        @OptionGroup var target: TargetArguments
        @Flag(help: "What the filesystem keeps about the files, in place of what is in them.") var metadata = false
        @Flag(help: "Return when all is here, and not as soon as the pin holds.") var wait = false
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.reportJob(
                CachePin.self,
                CachePin.Parameters(try target.target(metadata: metadata), wait: wait),
                what: "pin \(target.text)",
                isBackground: false,
                as: output
            ) { result in
                let missing = result.rules.reduce(0) { $0 + $1.missingBytes }
                let pinned = ByteSize.text(result.rules.reduce(0) { $0 + $1.pinnedBytes })
                let rest = result.job.map { "; \(ByteSize.text(missing)) come in by the job \($0)" } ?? ""
                let skipped = FoundFiles.words(skipped: result.skippedFiles, result.problem)
                return "pinned \(target.text): \(pinned)\(missing > 0 ? rest : "")\(skipped)"
            }
        }
    }

    struct Unpin: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lets go of what was pinned.",
            discussion: "It stays in the cache until its room is needed. With a disk's name alone, all its pins go."
        )

        @OptionGroup var target: TargetArguments
        @Flag(help: "Only pins of metadata.") var metadata = false
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            let parameters = CacheTargetOnly(try target.target(metadata: metadata))
            try connection.report(CacheUnpin.self, parameters, as: output) { result in
                "unpinned \(target.text): \(result.rules) \(result.rules == 1 ? "rule" : "rules")"
            }
        }
    }

    struct Pins: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows what is pinned of a disk.")

        @Argument(help: "The disk's name.") var name: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            try connection.report(CachePins.self, DiskNameParameters(name: name), as: output) { result in
                guard !result.rules.isEmpty else { return "nothing of \(name) is pinned" }
                var table = Table(columns: ["PINNED", "MISSING", "WHAT", "WHERE", "PROBLEM"], style: .standardOutput)
                for rule in result.rules {
                    let sizes = [rule.pinnedBytes, rule.missingBytes].map { ByteSize.text($0) }
                    table.add(sizes + [rule.what, rule.place, rule.problem ?? ""])
                }
                return Shown(table)
            }
        }
    }

    struct Limits: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows how much a disk's cache may take, and changes that."
        )

        @Argument(help: "The disk's name.") var name: String
        @Option(help: "The size that is never exceeded, such as 20G.") var size: Bytes?
        @Option(help: "The percentage of the size at which cleaning begins, 10 to 100.") var soft: Int?
        @Option(help: "The percentage of the cache's filesystem that stays free for others, 0 to 90.")
        var reserve: Int?
        @Option(help: "What leaves the cache first: lru or s3fifo; see vdrivectl configure.")
        var policy: CachePolicyChoice?
        @OptionGroup var output: OutputOptions
        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            let parameters = CacheLimitsOf.Parameters(
                name: name,
                sizeBytes: size?.count,
                softPercent: soft,
                reservePercent: reserve,
                cachePolicy: policy
            )
            try connection.report(CacheLimitsOf.self, parameters, as: output) { limits in
                var table = Table(columns: nil, style: .standardOutput)
                table.add(["size", ByteSize.text(limits.sizeBytes)])
                table.add(["soft limit", "\(limits.softPercent) %"])
                table.add(["reserve", "\(limits.reservePercent) %"])
                table.add(["policy", limits.cachePolicy.rawValue])
                let now = [
                    ("in force", limits.effectiveBytes), ("used", limits.usedBytes), ("dirty", limits.dirtyBytes),
                    ("pinned", limits.pinnedBytes),
                ]
                for case (let word, let bytes?) in now { table.add([word, ByteSize.text(bytes)]) }
                return Shown(table)
            }
        }
    }
}

extension CacheEntry {
    fileprivate var name: String {
        path ?? "bytes \(offset ?? 0)–\((offset ?? 0) + sizeBytes)"
    }

    fileprivate var words: String {
        guard let state else { return "unknown: \(problem ?? "")" }
        var words = [state.rawValue]
        if dirtyBytes > 0 { words.append("dirty") }
        if pinnedBytes > 0 { words.append(pinnedBytes >= dataBytes ? "pinned" : "partly pinned") }
        return words.joined(separator: ", ")
    }
}

extension CacheRule {
    fileprivate var what: String {
        guard path != nil else { return "bytes" }
        return (metadata == true ? "metadata" : "files") + (recursive == true ? ", recursive" : "")
    }

    fileprivate var place: String {
        path ?? "\(offset ?? 0)–\((offset ?? 0) + (length ?? 0))"
    }
}

extension FoundFiles {
    fileprivate var words: String {
        var text = ByteSize.text(bytes)
        if let files { text += " in \(files) \(files == 1 ? "file" : "files")" }
        return text + Self.words(skipped: skippedFiles, problem)
    }

    fileprivate static func words(skipped: UInt64, _ problem: String?) -> String {
        skipped == 0 ? "" : "; \(skipped) skipped, the first: \(problem ?? "")"
    }
}
