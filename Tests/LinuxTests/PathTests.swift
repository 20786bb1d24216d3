import Foundation
import Glibc
import Linux
import Synchronization
import Testing
import VDriveHost

/// Where files lie on ext4 and xfs: real filesystems on loop devices, compared with what `filefrag` and the bytes of
/// the image say.
@Suite(.serialized) struct PathTests {
    /// A mounted filesystem of its own for one test.
    struct Volume {
        let image: String
        let place: String
        let device: LoopDevice
        let filesystem: Filesystem

        func path(_ name: String) -> String { "\(place)/\(name)" }

        func ask(
            _ targets: [PathQuestion.Target],
            page: PathQuestion.Page? = nil,
            writesOut: PathQuestion.WriteOut = .unplaced
        ) -> [PathAnswer] {
            let question = PathQuestion(
                targets: targets,
                mountPoint: place,
                devicePath: device.devicePath,
                filesystem: filesystem,
                page: page,
                writesOut: writesOut
            )
            var answers: [PathAnswer] = []
            PathResolver(question) { answers.append($0) }.run()
            return answers
        }

        /// The ranges and the summary of one target.
        func resolve(
            _ name: String,
            isMetadata: Bool = false,
            fingerprint: UInt64? = nil,
            writesOut: PathQuestion.WriteOut = .unplaced
        ) throws -> (ranges: [Range<UInt64>], summary: PathAnswer.Summary) {
            let full = name.isEmpty ? place : path(name)
            let target = PathQuestion.Target(
                path: full,
                isRecursive: true,
                isMetadata: isMetadata,
                fingerprint: fingerprint
            )
            var ranges: [Range<UInt64>] = []
            for answer in ask([target], writesOut: writesOut) {
                switch answer {
                case .ranges(let numbers): ranges += numbers.asRanges
                case .target(let summary):
                    if let failure = summary.failure { throw failure }
                    return (ranges, summary)
                case .failure(let failure): throw failure
                default: continue
                }
            }
            throw PathAnswer.Failure(kind: .failed, message: "no end")
        }

        func failure(_ path: String, isRecursive: Bool = true) -> PathAnswer.Failure.Kind? {
            for case .target(let summary) in ask([.init(path: path, isRecursive: isRecursive)]) {
                return summary.failure?.kind
            }
            return nil
        }

        /// The bytes of the device at ranges, read past every cache.
        func bytes(_ ranges: [Range<UInt64>]) throws -> [UInt8] {
            let file = try OpenFile.open(image, flags: O_RDONLY)
            return try ranges.flatMap { try file.preadAll(count: $0.count, at: $0.lowerBound) }
        }
    }

    let scratch: Scratch
    let threads = BlockingThreads(name: "path-test", count: 2)

    init() throws { scratch = try Scratch() }

    private func with(
        _ filesystem: Filesystem,
        bytes: UInt64 = 1 << 30,
        _ body: (Volume) async throws -> Void
    ) async throws {
        let image = try scratch.sparse("disk.img", bytes: bytes)
        let device = try await LoopDevice.attach(backingFile: image, on: threads)
        let place = try MountPoint(scratch.file("mnt"))
        do {
            try await filesystem.format(device, name: "paths", on: threads)
            try await place.mount(device, as: filesystem, on: threads)
            try await body(Volume(image: image, place: place.path, device: device, filesystem: filesystem))
        } catch {
            try? await place.unmount(whenBusy: .detach(afterSeconds: 0), on: threads)
            try? await device.detach(on: threads)
            throw error
        }
        try await place.unmount(whenBusy: .refuse(afterSeconds: 5), on: threads)
        try await device.detach(on: threads)
        threads.shutdown()
    }

    private func write(_ path: String, _ bytes: [UInt8], at offset: UInt64 = 0) throws {
        let file = try OpenFile.open(path, flags: O_RDWR | O_CREAT)
        try file.pwriteAll(bytes, at: offset)
    }

    private func noise(_ count: Int, _ seed: UInt64) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
    }

    /// What `filefrag -v` tells, in bytes of the device.
    private func filefrag(_ path: String) throws -> [Range<UInt64>] {
        let output = try Subprocess.runBlocking(["filefrag", "-v", "-b4096", path], timeoutSeconds: 60).output
        return output.matches(of: #/(?m)^\s*\d+:\s*\d+\.\.\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*\d+:(.*)$/#).compactMap {
            match in
            guard let first = UInt64(match.1), let last = UInt64(match.2), !match.3.contains("unwritten") else {
                return nil
            }
            return first * 4096..<(last + 1) * 4096
        }
    }

    @Test(arguments: [Filesystem.ext4, .xfs])
    func `a file's ranges hold its bytes, without holes and without what was only reserved`(
        filesystem: Filesystem
    ) async throws {
        try await with(filesystem) { volume in
            let first = noise(300_000, 1)
            let second = noise(8192, 2)
            try write(volume.path("file"), first)
            try write(volume.path("file"), second, at: 4 << 20)
            // Nothing was written out yet, and need not be to be counted: what is set aside behind the end is none.
            let unplaced = try volume.resolve("file", writesOut: .nothing)
            #expect(unplaced.ranges.isEmpty && unplaced.summary.unplacedBytes == 303_104 + 8192)
            let page = PathQuestion.Page(entriesMax: 10)
            let target = PathQuestion.Target(path: volume.path("file"), isRecursive: false)
            let listed = volume.ask([target], page: page, writesOut: .nothing)
            guard case .entry(let entry)? = listed.first else {
                Issue.record("\(listed)")
                return
            }
            #expect(entry.ranges.isEmpty && entry.unplacedBytes == 303_104 + 8192 && entry.problem == nil)
            let reserved = try OpenFile.open(volume.path("file"), flags: O_RDWR)
            #expect(posix_fallocate(reserved.descriptor, 8 << 20, 4 << 20) == 0)
            // Else the resolver has to write it.
            let (ranges, summary) = try volume.resolve("file")
            #expect(ranges.map(\.count).reduce(0, +) == 303_104 + 8192)
            #expect(summary.progress.files == 1 && summary.progress.bytes == 303_104 + 8192 && summary.skipped == 0)
            let told = try filefrag(volume.path("file"))
            #expect(ranges.map(\.count).reduce(0, +) == told.map(\.count).reduce(0, +))
            #expect(Set(told.flatMap { [$0.lowerBound, $0.upperBound] }).isSuperset(of: ranges.map(\.lowerBound)))
            let inOrder = try volume.bytes(told)
            #expect(Array(inOrder[..<300_000]) == first)
            #expect(Array(inOrder[303_104...]) == second)
        }
    }

    @Test(arguments: [Filesystem.ext4, .xfs])
    func `a tree is walked whole: hard links once, links and other mounts not at all`(
        filesystem: Filesystem
    ) async throws {
        try await with(filesystem) { volume in
            let deep = volume.path("tree/a/b/c")
            try Directory.createAll(deep, mode: 0o755)
            for number in 0..<300 { try write("\(deep)/file-\(number)", noise(5000, UInt64(number))) }
            try write(volume.path("outside"), noise(20_000, 9))
            #expect(link("\(deep)/file-0", volume.path("tree/again")) == 0)
            #expect(symlink(volume.path("outside"), volume.path("tree/link")) == 0)
            #expect(symlink("/usr", volume.path("tree/away")) == 0)
            #expect(mkfifo(volume.path("tree/pipe"), 0o600) == 0)
            try Directory.createAll(volume.path("tree/mount"), mode: 0o755)
            try write(volume.path("tree/mount/hidden"), noise(4096, 3))
            let bind = volume.path("tree/mount")
            try #require(mount(volume.path("tree/a"), bind, nil, UInt(MS_BIND), nil) == 0)
            defer { umount(bind) }
            let (ranges, summary) = try volume.resolve("tree")
            let whole = UInt64(300 * 8192)
            #expect(summary.progress.bytes == whole && UInt64(ranges.map(\.count).reduce(0, +)) == whole)
            #expect(summary.skipped == 0 && summary.firstProblem == nil)
            let outside = try volume.resolve("outside").ranges
            #expect(!ranges.contains { range in outside.contains { $0.overlaps(range) } })
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })

            #expect(volume.failure(volume.path("tree/pipe")) == .unsuitable)
            #expect(volume.failure(volume.path("nothing")) == .notFound)
            // Something on the way has become a file.
            #expect(volume.failure(volume.path("tree/pipe/below")) == .notFound)
            #expect(volume.failure(volume.path(String(repeating: "n", count: 300))) == .notFound)
            #expect(volume.failure("/usr") == .unsuitable)
            #expect(volume.failure(volume.path("tree/away")) == .unsuitable)
            #expect(volume.failure(volume.path("tree"), isRecursive: false) == .unsuitable)
            #expect(try volume.resolve("tree/link").ranges == outside)
        }
    }

    @Test func `shared extents on xfs are told for each of their files`() async throws {
        try await with(.xfs) { volume in
            try write(volume.path("one"), noise(1 << 20, 4))
            let copied = try Subprocess.runBlocking(
                ["cp", "--reflink=always", volume.path("one"), volume.path("two")],
                timeoutSeconds: 60
            )
            try #require(copied.isSuccess)
            let one = try volume.resolve("one").ranges
            #expect(one.map(\.count).reduce(0, +) == 1 << 20)
            #expect(try volume.resolve("two").ranges == one)
            #expect(try volume.resolve("").ranges == one)
        }
    }

    @Test(arguments: [Filesystem.ext4, .xfs])
    func `the fingerprint changes when something does, and else nothing is told`(
        filesystem: Filesystem
    ) async throws {
        try await with(filesystem) { volume in
            try Directory.createAll(volume.path("tree/sub"), mode: 0o755)
            try write(volume.path("tree/sub/file"), noise(100_000, 1))
            sync()
            var last = try volume.resolve("tree").summary.fingerprint
            let same = try volume.resolve("tree", fingerprint: last)
            #expect(same.summary.isUnchanged && same.ranges.isEmpty)
            let changes: [(String, () throws -> Void)] = [
                ("grows", { try write(volume.path("tree/sub/file"), noise(5000, 2), at: 100_000) }),
                ("is written over", { try write(volume.path("tree/sub/file"), noise(5000, 2)) }),
                ("new", { try write(volume.path("tree/sub/second"), noise(1, 2)) }),
                ("renamed", { try Directory.rename(volume.path("tree/sub/second"), to: volume.path("tree/third")) }),
                ("gone", { try Directory.removeFile(volume.path("tree/third")) }),
            ]
            for (what, change) in changes {
                usleep(20_000)
                try change()
                let (ranges, summary) = try volume.resolve("tree", fingerprint: last)
                #expect(!summary.isUnchanged && !ranges.isEmpty && summary.fingerprint != last, "\(what)")
                last = summary.fingerprint
            }
        }
    }

    @Test(arguments: [Filesystem.ext4, .xfs])
    func `pages of a list hold each file once, whatever their size`(filesystem: Filesystem) async throws {
        try await with(filesystem) { volume in
            var expected: Set<String> = []
            for folder in ["a", "a/b", "c", "c/d/e"] {
                try Directory.createAll(volume.path("tree/\(folder)"), mode: 0o755)
                for number in 0..<40 {
                    try write(volume.path("tree/\(folder)/f\(number)"), noise(4096 * (number % 3), 1))
                    expected.insert(volume.path("tree/\(folder)/f\(number)"))
                }
            }
            for entriesMax in [1, 7, 1000] {
                var names: [String] = []
                var token: String?
                repeat {
                    let page = PathQuestion.Page(entriesMax: entriesMax, token: token)
                    var count = 0
                    token = nil
                    for answer in volume.ask([.init(path: volume.path("tree"), isRecursive: true)], page: page) {
                        if case .entry(let entry) = answer {
                            count += 1
                            if entry.kind == .file {
                                names.append(entry.path)
                                #expect(entry.ranges.asRanges.map(\.count).reduce(0, +) == Int(entry.bytes))
                            }
                        }
                        if case .pageEnd(let next) = answer { token = next }
                        if case .failure(let failure) = answer { throw failure }
                    }
                    #expect(count <= entriesMax)
                } while token != nil
                #expect(names.count == expected.count && Set(names) == expected, "\(entriesMax) a page")
            }
            for bad in ["", "9:", "0:x", "0:.0/2f.0", "0:zz.1"] {
                let answers = volume.ask(
                    [.init(path: volume.path("tree"), isRecursive: true)],
                    page: .init(entriesMax: 5, token: bad)
                )
                guard case .failure(let failure)? = answers.last else {
                    Issue.record("\(bad) is taken")
                    continue
                }
                #expect(failure.kind == .unsuitable)
            }
        }
    }

    /// A filesystem whose metadata alone is copied into an empty image lists and maps its files as before.
    @Test(arguments: [Filesystem.ext4, .xfs])
    func `the metadata's ranges are all that a listing needs`(filesystem: Filesystem) async throws {
        var listing = ""
        var places: [[Range<UInt64>]] = []
        var ranges: [Range<UInt64>] = []
        let copy = try scratch.sparse("copy.img", bytes: 1 << 30)
        try await with(filesystem) { volume in
            try Directory.createAll(volume.path("tree/many"), mode: 0o755)
            for number in 0..<3000 { try write(volume.path("tree/many/a-name-that-is-long-enough-\(number)"), [1]) }
            // Scattered, so that the list of its extents does not fit into the inode.
            for block in 0..<600 { try write(volume.path("tree/scattered"), noise(4096, 1), at: UInt64(block) * 8192) }
            let long = String(repeating: "x/", count: 450)
            #expect(symlink(long, volume.path("tree/link")) == 0)
            let attribute = String(repeating: "y", count: 3000)
            let set = ["setfattr", "-n", "user.note", "-v", attribute, volume.path("tree/scattered")]
            #expect(try Subprocess.runBlocking(set, timeoutSeconds: 60).isSuccess)
            for _ in 0..<2 {
                sync()
                // Also out of xfs's log, where the device does not show it.
                _ = try Subprocess.runBlocking(["xfs_freeze", "-f", volume.place], timeoutSeconds: 60)
                _ = try Subprocess.runBlocking(["xfs_freeze", "-u", volume.place], timeoutSeconds: 60)
            }
            ranges = try volume.resolve("", isMetadata: true).ranges
            listing = try list(volume.place)
            places = [try filefrag(volume.path("tree/scattered"))]
        }
        let source = try OpenFile.open(scratch.file("disk.img"), flags: O_RDONLY)
        let target = try OpenFile.open(copy, flags: O_RDWR)
        for range in ranges {
            try target.pwriteAll(source.preadAll(count: range.count, at: range.lowerBound), at: range.lowerBound)
        }
        let bytes = ranges.map(\.count).reduce(0, +)
        #expect(bytes < 40 << 20, "\(bytes) bytes of metadata")
        let place = scratch.file("copy")
        try Directory.createAll(place)
        // Without the journal, which is no part of it.
        let options = filesystem == .ext4 ? "ro,loop,noload" : "ro,loop,norecovery,nouuid"
        let mounted = try Subprocess.runBlocking(["mount", "-o", options, copy, place], timeoutSeconds: 60)
        try #require(mounted.isSuccess, "\(mounted.output)")
        defer { _ = try? Subprocess.runBlocking(["umount", place], timeoutSeconds: 60) }
        #expect(try list(place) == listing)
        #expect(try [filefrag("\(place)/tree/scattered")] == places)
    }

    private func list(_ place: String) throws -> String {
        let script =
            "cd \(place) && find . -printf '%p %s %i %m %T@ %l\\n' | sort | md5sum; ls -R | wc -l; "
            + "find tree/many -name '*-2999' -ls; getfattr -d -m - tree/scattered | md5sum"
        let answer = try Subprocess.runBlocking(["sh", "-c", script], timeoutSeconds: 120)
        try #require(answer.isSuccess, "\(answer.output)")
        return answer.output
    }

    @Test func `ranges come back sorted and merged, and never more than there may be`() {
        var few = DiskRanges()
        for start in [40, 0, 8, 16, 12] as [UInt64] { few.insert(start..<start + 4) }
        few.insert(5..<5)
        #expect(few.merged() == [0..<4, 8..<20, 40..<44])

        var many = DiskRanges(limit: 100)
        for number in 0..<10_000 as Range<UInt64> {
            let start = number * 7919 % 10_000 * 8192
            many.insert(start..<start + 4096)
        }
        let merged = many.merged()
        #expect(merged.count <= 100)
        #expect(zip(merged, merged.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
        for number in 0..<10_000 as Range<UInt64> {
            let start = number * 8192
            #expect(merged.contains { $0.lowerBound <= start && start + 4096 <= $0.upperBound })
        }
    }
}
