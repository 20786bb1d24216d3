import Foundation
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// Users steer the cache by files. With VDRIVE_FILMS=long there are 200 films of 50 MB.
    @Suite(.serialized)
    struct FilmTests {
        private static let isLong = ProcessInfo.processInfo.environment["VDRIVE_FILMS"] == "long"
        private static let films = isLong ? 200 : 40
        private static let mebibytes = isLong ? 50 : 5
        private static let bytes = UInt64(mebibytes << 20)
        /// A part of all that there is, and more than what is pinned and prefetched.
        private static let cacheSize = isLong ? "4G" : "80M"
        private static let size = isLong ? "16G" : "1G"

        /// Pinned, brought in, and evicted; the rest is only there.
        private func folder(_ film: Int) -> String { ["shelf", "wanted", "old", "rest"][film % 4] }

        private func file(_ film: Int) -> String { "\(folder(film))/film-\(film)" }

        @Test(.timeLimit(.minutes(30)), arguments: ["ext4", "xfs"])
        func `a pinned film is always local, a folder is brought in, another goes`(filesystem: String) async throws {
            try await DaemonUnderTest.use("films-\(filesystem)") { daemon in
                let disk = try await FilmDisk.make(
                    filesystem,
                    size: Self.size,
                    cacheSize: Self.cacheSize,
                    chunkSize: Self.isLong ? "4M" : "256K",
                    on: daemon
                )
                for folder in ["shelf", "wanted", "old", "rest"] { try await mustRun(["mkdir", disk.path(folder)]) }
                for film in 0..<Self.films {
                    try await disk.append(file(film), mebibytes: Self.mebibytes, seed: UInt64(film + 1))
                }
                let all = (0..<Self.films).map(file)
                let truth = try await disk.readAll(all)
                // Or looking at the files would bring in what lies beside their inodes.
                _ = try await disk.cache("pin", FilmDisk.name, "--metadata", "--wait")
                try await disk.evictAll()
                try await disk.dropKernelCaches()
                let pinned = file(0)
                var model = ResidencyModel()
                try await expectStates(disk, model)

                let said = try await disk.cache("pin", disk.path(pinned), "--wait")
                #expect(said.contains("pinned \(disk.path(pinned)): "), "\(said)")
                model.fetch(try await disk.extents(pinned))
                // A few in the quick form, half of a quarter in the long one, so that they fit.
                let wanted = Array(all.filter { $0.hasPrefix("wanted/") }.prefix(Self.isLong ? 25 : 5))
                let fetched = try await disk.bytesFetched {
                    try await daemon.mustCtl(["cache", "prefetch", "--wait"] + wanted.map(disk.path))
                }
                for film in wanted { model.fetch(try await disk.extents(film)) }
                #expect(fetched >= (wanted.count * Self.mebibytes - 1) << 20, "\(fetched) bytes")
                try await expectStates(disk, model)

                // Part of a film, by the bytes of the disk where it lies.
                let piece = try #require(try await disk.extents(file(3)).first)
                let part = piece.lowerBound..<piece.lowerBound + min(UInt64(piece.count), 1 << 20) / 2
                let range = ["--offset", "\(part.lowerBound)", "--length", "\(part.count)"]
                _ = try await daemon.mustCtl(["cache", "prefetch", FilmDisk.name, "--wait"] + range)
                model.fetch([part])
                try await expectStates(disk, model)

                let evicted = try await disk.cache("evict", disk.path("wanted"), "--recursive")
                #expect(evicted.hasPrefix("evicted "), "\(evicted)")
                for film in all where film.hasPrefix("wanted/") { model.evict(try await disk.extents(film)) }
                try await expectStates(disk, model)
                #expect(try await disk.entries(pinned)[pinned]?.state == .cached)

                // More than the cache holds goes through it.
                try await disk.dropKernelCaches()
                #expect(try await disk.readAll(all) == truth)
                try await disk.dropKernelCaches()
                let again = try await disk.bytesFetched { _ = try await disk.readAll([pinned]) }
                _ = try await disk.cache("evict", disk.path(file(2)))
                try await disk.dropKernelCaches()
                let gone = try await disk.bytesFetched { _ = try await disk.readAll([file(2)]) }
                say("\(filesystem): after a scan, the pinned film moved \(again) bytes, an evicted one \(gone)")
                #expect(again < 4096 && gone >= Self.mebibytes << 20)
                let status = try await daemon.status(FilmDisk.name)
                #expect(status.cache.usedBytes ?? .max <= status.cache.limitBytes)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        /// Compares what is told of every film with what must be, byte for byte.
        private func expectStates(
            _ disk: FilmDisk,
            _ model: ResidencyModel,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let entries = try await disk.entries()
            #expect(Set(entries.keys) == Set((0..<Self.films).map(file)), sourceLocation: sourceLocation)
            for (path, entry) in entries {
                let extents = try await disk.extents(path)
                let data = extents.reduce(0) { $0 + UInt64($1.count) }
                let cached = model.bytes(in: extents)
                let state: CacheEntry.State = cached == data ? .cached : cached == 0 ? .cloud : .partial
                #expect(
                    entry.state == state && entry.cachedBytes == cached && entry.dataBytes == data
                        && entry.sizeBytes == Self.bytes && entry.dirtyBytes == 0,
                    "\(path) must have \(cached): \(entry)",
                    sourceLocation: sourceLocation
                )
            }
        }

        @Test(.timeLimit(.minutes(5)), arguments: ["ext4", "xfs"])
        func `a pin follows its files, survives kill -9, and is let go`(filesystem: String) async throws {
            try await DaemonUnderTest.use("pins-\(filesystem)") { daemon in
                let disk = try await FilmDisk.make(filesystem, size: "1G", cacheSize: "200M", on: daemon)
                try await mustRun(["mkdir", "-p", disk.path("shelf/deep"), disk.path("other")])
                for (number, file) in ["film", "shelf/a", "shelf/deep/b", "other/c"].enumerated() {
                    try await disk.append(file, mebibytes: 3, seed: UInt64(number + 1))
                }
                try await daemon.mustCtl("sync", FilmDisk.name)
                _ = try await disk.cache("pin", disk.path("film"))
                _ = try await disk.cache("pin", disk.path("shelf"), "-r", "--wait")
                #expect(try await disk.rules().map(\.pinnedBytes).sorted() == [3 << 20, 6 << 20])

                // It grows; a new one comes; one goes; one is written anew, elsewhere on the disk.
                try await disk.append("film", mebibytes: 2, seed: 11)
                try await disk.append("shelf/deep/new", mebibytes: 4, seed: 12)
                try await mustRun(["rm", disk.path("shelf/a")])
                try await daemon.mustCtl("sync", FilmDisk.name)
                try await disk.waitForRules { $0.map(\.pinnedBytes).sorted() == [5 << 20, 7 << 20] }
                let before = try await disk.extents("film")
                try await mustRun(["cp", "--reflink=never", disk.path("film"), disk.path("film.new")])
                try await mustRun(["sync", "-f", disk.place])
                try await mustRun(["mv", disk.path("film.new"), disk.path("film")])
                try await disk.evictAll()
                #expect(try await disk.extents("film") != before)
                try await disk.waitForRules { $0.allSatisfy { $0.missingBytes == 0 && $0.problem == nil } }
                let names = ["film", "shelf/deep/b", "shelf/deep/new"]
                try await disk.evictAll()
                try await expectLocal(disk, names)
                let truth = try await disk.readAll(names)

                try await daemon.crash()
                try await daemon.start()
                _ = try await daemon.waitUntilAttached(FilmDisk.name)
                #expect(try await disk.rules().count == 2)
                try await disk.waitForRules { $0.allSatisfy { $0.missingBytes == 0 } }
                try await disk.evictAll()
                try await expectLocal(disk, names)
                #expect(try await disk.readAll(names) == truth)

                // A file that a folder's rule pins cannot be let go alone.
                let alone = try await daemon.ctl(["cache", "unpin", disk.path("shelf/deep/b")])
                #expect(alone.status == 4 && alone.errors.contains(disk.path("shelf")), "\(alone)")
                _ = try await disk.cache("unpin", disk.path("film"))
                _ = try await disk.cache("unpin", disk.path("shelf"))
                #expect(try await disk.rules().isEmpty)
                try await disk.evictAll()
                let entries = try await disk.entries()
                #expect(entries.values.allSatisfy { $0.state == .cloud && $0.pinnedBytes == 0 }, "\(entries)")
                try await Task.sleep(for: .seconds(6))
                #expect(try await disk.entries().values.allSatisfy { $0.state == .cloud })
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        /// On ext4 `stat` shows nothing of it: it is found by a look that asks for every file's place, one of twelve.
        @Test(.timeLimit(.minutes(3)), arguments: ["ext4", "xfs"])
        func `a pin follows a file that is defragmented`(filesystem: String) async throws {
            try await DaemonUnderTest.use("defragment-\(filesystem)") { daemon in
                let disk = try await FilmDisk.make(filesystem, size: "1G", cacheSize: "200M", on: daemon)
                // Files that grow in turn lie in pieces: few, or a block with their places would count in `stat`.
                for round in 0..<3 as Range<UInt64> {
                    for (number, file) in ["film", "other"].enumerated() {
                        try await disk.append(file, mebibytes: 1, seed: round * 2 + UInt64(number) + 1)
                        try await mustRun(["sync", "-f", disk.place])
                    }
                }
                try await daemon.mustCtl("sync", FilmDisk.name)
                _ = try await disk.cache("pin", disk.path("film"))
                let truth = try await disk.readAll(["film"])
                let before = try await disk.extents("film")
                #expect(before.count > 1, "\(before)")
                try await mustRun([filesystem == "xfs" ? "xfs_fsr" : "e4defrag", "-v", disk.path("film")])
                try await disk.settle()
                #expect(try await disk.extents("film") != before)
                let deadline = ContinuousClock.now + .seconds(90)
                while try await disk.entries("film")["film"].map({ $0.pinnedBytes == $0.dataBytes }) != true {
                    try #require(ContinuousClock.now < deadline, "the pin does not follow")
                    // It has the files looked at again.
                    try await daemon.mustCtl("sync", FilmDisk.name)
                    try await Task.sleep(for: .milliseconds(200))
                }
                try await disk.waitForRules { $0.allSatisfy { $0.missingBytes == 0 } }
                try await disk.evictAll()
                try await expectLocal(disk, ["film"])
                #expect(try await disk.readAll(["film"]) == truth)
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }

        private func expectLocal(_ disk: FilmDisk, _ files: [String]) async throws {
            try await disk.dropKernelCaches()
            let entries = try await disk.entries()
            for file in files {
                let entry = entries[file]
                let isPinned = entry.map { $0.pinnedBytes == $0.dataBytes } == true
                #expect(entry?.state == .cached && isPinned, "\(file): \(String(describing: entry))")
            }
            #expect(entries["other/c"]?.state != .cached)
            let moved = try await disk.bytesFetched { _ = try await disk.readAll(files) }
            #expect(moved < 4096, "\(moved) bytes for pinned files")
        }

        @Test(.timeLimit(.minutes(5)), arguments: ["ext4", "xfs"])
        func `with its metadata pinned, a tree is listed without the remote`(filesystem: String) async throws {
            try await DaemonUnderTest.use("metadata-\(filesystem)") { daemon in
                let disk = try await FilmDisk.make(filesystem, size: "4G", cacheSize: "300M", on: daemon)
                let script = """
                    cd "$1" && for d in $(seq 1 20); do mkdir "folder-$d" && for f in $(seq 1 150); do
                    echo "$d $f" > "folder-$d/a-file-with-quite-a-long-name-$f"; done
                    ln -s "$(printf 'up/%.0s' $(seq 1 300))" "folder-$d/link"; done
                    """
                try await mustRun(["bash", "-c", script, "bash", disk.place])
                try await disk.append("folder-1/film", mebibytes: 20, seed: 1)
                try await disk.evictAll()
                // Out of xfs's log, where only the filesystem sees it.
                if filesystem == "xfs" {
                    for _ in 0..<2 { try await disk.settle() }
                    try await disk.evictAll()
                }
                let said = try await disk.cache("pin", FilmDisk.name, "--metadata", "--wait")
                try await disk.evictAll()
                try await disk.dropKernelCaches()
                var names = 0
                let moved = try await disk.bytesFetched { names = try await disk.count("find \(disk.place) -ls") }
                try await disk.dropKernelCaches()
                let recursive = try await disk.bytesFetched { _ = try await disk.count("ls -lR \(disk.place)") }
                let rule = try #require(try await disk.rules().first)
                say(
                    "\(filesystem): \(said.trimmingCharacters(in: .newlines)); find -ls of "
                        + "\(names) names moved \(moved) bytes, ls -lR \(recursive)"
                )
                #expect(names == 3042 + (filesystem == "ext4" ? 1 : 0))
                #expect(moved < 4096 && recursive < 4096)
                #expect(rule.metadata == true && rule.recursive == true && rule.path == disk.place)
                #expect(try await disk.entries("folder-1/film").values.map(\.state) == [.cloud])
                // No content is pinned with it; and of the metadata no folder's can be let go alone.
                let content = try await daemon.ctl(["cache", "unpin", disk.path("folder-1")])
                #expect(content.status == 1 && content.errors.contains("Nothing of it is pinned"), "\(content)")
                let part = try await daemon.ctl(["cache", "unpin", disk.path("folder-1"), "--metadata"])
                #expect(part.status == 4 && part.errors.contains("all of \(disk.place)"), "\(part)")

                _ = try await disk.cache("unpin", FilmDisk.name, "--metadata")
                try await disk.evictAll()
                try await disk.dropKernelCaches()
                let without = try await disk.bytesFetched { _ = try await disk.count("find \(disk.place) -ls") }
                #expect(without > 20_000, "\(without)")
                try await daemon.mustCtl("detach", FilmDisk.name)
            }
        }
    }
}

/// What must be in the cache, from what was asked for alone. Data comes in whole frames of 128 KiB, and goes in pages.
private struct ResidencyModel {
    private static let frame: UInt64 = 128 << 10
    /// Sorted, none touching another.
    private var ranges: [Range<UInt64>] = []

    mutating func fetch(_ extents: [Range<UInt64>]) {
        let frames = extents.map { extent in
            extent.lowerBound / Self.frame * Self.frame..<(extent.upperBound + Self.frame - 1) / Self.frame * Self.frame
        }
        var merged: [Range<UInt64>] = []
        for range in (ranges + frames).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    mutating func evict(_ extents: [Range<UInt64>]) {
        for gone in extents {
            ranges = ranges.flatMap { range -> [Range<UInt64>] in
                guard range.overlaps(gone) else { return [range] }
                return [
                    range.lowerBound..<max(range.lowerBound, gone.lowerBound),
                    min(range.upperBound, gone.upperBound)..<range.upperBound,
                ].filter { !$0.isEmpty }
            }
        }
    }

    func bytes(in extents: [Range<UInt64>]) -> UInt64 {
        extents.reduce(0) { sum, extent in
            ranges.reduce(sum) { $0 + UInt64($1.clamped(to: extent).count) }
        }
    }
}
