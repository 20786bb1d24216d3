import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// The cache's filesystem fills up, fails, turns read-only, or holds other bytes than it should.
    @Suite(.serialized)
    struct CacheTroubleTests {
        @Test(.timeLimit(.minutes(2)))
        func `a cache filesystem that somebody fills makes writers wait and reads go around`() async throws {
            let server = try await ServerFarm.shared.server(.apache)
            let link = try await LinkProxy(to: server.port)
            try await DaemonUnderTest.use("cachefull") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon, port: link.port)
                let scene = try await CacheScene.make(daemon, remote, .ext4)
                try await scene.fill()
                // Cold data, with nowhere to put it.
                let start = ContinuousClock.now
                #expect(try await scene.model.wrongPages(scene.image, region: 5) == [])
                #expect(start.duration(to: .now) < .seconds(20))
                #expect(try await daemon.status("disk").warnings?.contains { $0.contains("is full") } == true)
                // With the remote away nothing becomes clean, so writers can only wait.
                try link.tell("refuse")
                let model = scene.model
                let image = scene.image
                let writing = Task { try await model.rewrite(image, regions: 8..<24) }
                try await wait(for: "writers to wait", seconds: 30) {
                    try await daemon.status("disk").warnings?.contains { $0.contains("writers wait") } == true
                }
                try await Task.sleep(for: .seconds(1))
                #expect(model.sequence < 24 * 256 + 16 * 256, "a full filesystem took 16 MiB")
                #expect(try await daemon.status("disk").state == .attached)
                try scene.free()
                try await writing.value
                try link.tell("pass")
                try await daemon.mustCtl("sync", "disk")
                try await scene.waitUntilWell()
                #expect(!daemon.log.contains(" error "), "nobody was told of an error")
                #expect(occurrences(of: "and not by the cache alone", in: daemon.log) <= 3, "said once, not for ever")
                try await scene.end()
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `an attach to a full cache works and says so, one to a read-only cache is refused`() async throws {
            try await DaemonUnderTest.use("cachestart") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let scene = try await CacheScene.make(daemon, remote, .ext4)
                try await daemon.mustCtl("detach", "disk")
                try await scene.fill()
                try await daemon.mustCtl("attach", "disk", "--fs", "none")
                #expect(try await daemon.status("disk").warnings?.contains { $0.contains("is full") } == true)
                #expect(try await scene.model.wrongPages(scene.image, region: 3) == [])
                try scene.free()
                try await scene.waitUntilWell()
                try await daemon.mustCtl("detach", "disk")
                try await mustRun(["mount", "-o", "remount,ro", scene.filesystem.mountPoint])
                let before = try remote.objects()
                let refused = try await daemon.ctl(["attach", "disk", "--fs", "none"])
                #expect(!refused.isSuccess && refused.errors.contains("read-only filesystem"), "\(refused)")
                #expect(try remote.objects() == before)
                try await mustRun(["mount", "-o", "remount,rw", scene.filesystem.mountPoint])
                try await daemon.mustCtl("attach", "disk", "--fs", "none")
                try await scene.end()
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a cache filesystem that turns read-only stops writes, and reads go on`() async throws {
            try await DaemonUnderTest.use("cachero") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let scene = try await CacheScene.make(daemon, remote, .ext4)
                #expect(try await scene.model.wrongPages(scene.image, region: 0) == [])
                try await scene.turnReadOnly()
                let code = try await blocking { [image = scene.image] () -> Errno? in
                    let file = try ImageFile(image)
                    let bytes = [UInt8](repeating: 1, count: 4096)
                    do throws(Errno) {
                        for page in 0..<64 { try file.write(bytes, at: UInt64(30 << 20 + page * 4096)) }
                        try file.file.sync()
                        return nil
                    } catch {
                        return error
                    }
                }
                #expect(code == .ioError)
                let status = try await daemon.status("disk")
                #expect(status.state == .failed)
                #expect(status.lastError?.contains("nothing more is written or uploaded") == true, "\(status)")
                // A hit, and cold data.
                #expect(try await scene.model.wrongPages(scene.image, region: 0) == [])
                #expect(try await scene.model.wrongPages(scene.image, region: 12) == [])
                try await scene.breakUp()
                try await daemon.terminate()
                try await scene.filesystem.unmount()
            }
        }

        @Test(.timeLimit(.minutes(2)), arguments: CuttableFilesystem.Kind.allCases)
        func `after an fdatasync that failed nothing is acknowledged or uploaded until the next attach`(
            kind: CuttableFilesystem.Kind
        ) async throws {
            try await DaemonUnderTest.use("cacheeio-\(kind)") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let scene = try await CacheScene.make(daemon, remote, kind, "--upload-interval", "3600")
                // Acknowledged, and only here.
                try await scene.model.rewrite(scene.image, regions: 2..<4)
                let before = try remote.objects()
                try await Self.cut(scene)
                let sync = try await daemon.ctl(["sync", "disk"])
                #expect(!sync.isSuccess && sync.errors.contains("could not be made durable"), "\(sync)")
                #expect(try await daemon.status("disk").state == .failed)
                #expect(try remote.objects() == before, "something was uploaded")
                #expect(try await scene.model.wrongPages(scene.image, region: 9) == [], "cold data")
                try await scene.breakUp()
                try await scene.filesystem.restorePower()
                try await daemon.mustCtl("attach", "disk", "--fs", "none")
                try await daemon.mustCtl("sync", "disk")
                try await scene.end()
            }
        }

        /// The filesystem dies under a page that was written and not flushed.
        private static func cut(_ scene: CacheScene) async throws {
            let file = try await blocking { [image = scene.image] in try ImageFile(image) }
            try await blocking { try file.write([UInt8](repeating: 7, count: 4096), at: 40 << 20) }
            try await scene.filesystem.cutPower()
            for _ in 0..<3 { await #expect(throws: Errno.ioError) { try await blocking { try file.file.sync() } } }
            await #expect(throws: Errno.ioError) {
                try await blocking { try file.write([UInt8](repeating: 8, count: 4096), at: 41 << 20) }
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `an fdatasync that fails once is not forgiven, though the next one would succeed`() async throws {
            let faults = ["VDRIVE_FAULTS": "flush.before-data-sync=fail@3*1"]
            try await DaemonUnderTest.use("fsyncgate", environment: faults) { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "256K")
                let image = try await daemon.attachImage("disk")
                let results = try await blocking { () -> [Errno?] in
                    let file = try ImageFile(image)
                    return (0..<6).map { round -> Errno? in
                        do throws(Errno) {
                            try file.write([UInt8](repeating: 1, count: 4096), at: UInt64(round << 20))
                            try file.file.sync()
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                let failed = try #require(results.firstIndex { $0 != nil })
                #expect(results[failed...].allSatisfy { $0 == .ioError }, "\(results)")
                let status = try await daemon.status("disk")
                #expect(status.state == .failed && status.lastError?.contains("could not be made durable") == true)
                let detached = try await daemon.ctl(["detach", "disk"])
                #expect(detached.errors.contains("could not be made durable"), "\(detached)")
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a flush waits while LMDB finds no space`() async throws {
            try await DaemonUnderTest.use("lmdbfull", starts: false) { daemon in
                let filesystem = try await CuttableFilesystem.make(
                    .ext4,
                    image: "\(daemon.folder)/state.img",
                    at: daemon.stateDirectory
                )
                try await daemon.start()
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create(
                    "disk",
                    size: "256M",
                    on: remote,
                    "--chunk-size",
                    "64K",
                    "--cache-dir",
                    "\(daemon.folder)/cache",
                    "--upload-interval",
                    "3600"
                )
                let image = try await daemon.attachImage("disk")
                try await fillUp(daemon.stateDirectory)
                // A record for each of 4000 chunks. By another process: who runs programs with the image open makes
                // them close it, which is a flush that waits too.
                let script = """
                    import os, sys
                    file = os.open(sys.argv[1], os.O_RDWR)
                    for chunk in range(4000): os.pwrite(file, bytes([9]) * 4096, chunk << 16)
                    os.fsync(file)
                    """
                let flushing = Task { try await mustRun(["python3", "-c", script, image]) }
                try await until("the status warns") {
                    try await daemon.status("disk").warnings?.contains { $0.contains("Flushes wait") } == true
                }
                #expect(try await daemon.status("disk").state == .attached)
                try FileManager.default.removeItem(atPath: "\(daemon.stateDirectory)/filler")
                _ = try await flushing.value
                #expect(try await daemon.status("disk").warnings == [])
                try await daemon.mustCtl("detach", "disk")
                try await daemon.terminate()
                try await filesystem.unmount()
            }
        }

        @Test(.timeLimit(.minutes(2)))
        func `a cache that rots behind a crash is healed from the remote`() async throws {
            try await DaemonUnderTest.use("rot") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                let cache = "\(daemon.folder)/cache"
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "256K", "--cache-dir", cache)
                let image = try await daemon.attachImage("disk")
                let model = StampedPages(regions: 12)
                try await model.writeAll(image)
                try await daemon.mustCtl("sync", "disk")
                // The last regions: evicted, and one page of each chunk read, so that they are partial and clean.
                try await daemon.mustCtl("cache", "evict", "disk")
                for region in 0..<6 { #expect(try await model.wrongPages(image, region: region) == []) }
                try await blocking {
                    let file = try ImageFile(image)
                    for region in [7, 9, 11] { _ = try file.read(at: UInt64(region << 20), count: 4096) }
                    // Recorded by a flush.
                    try file.file.sync()
                }
                try await daemon.crash()
                try await blocking {
                    let file = try ImageFile("\(cache)/cache.0000")
                    for region in [0, 1, 7] {
                        let place = UInt64(region << 20 + 5000)
                        let bytes = try file.read(at: place, count: 100)
                        try file.write(bytes.map { $0 ^ 0xFF }, at: place)
                    }
                    try file.punch(at: 2 << 20, count: 300_000)
                    // The cut takes regions 5 to 11 away.
                    try file.file.truncate(to: 5 << 20 + 12345)
                }
                try await daemon.start()
                _ = try await daemon.waitUntilAttached("disk")
                for region in 0..<12 {
                    #expect(try await model.wrongPages(image, region: region) == [], "region \(region)")
                }
                #expect(occurrences(of: "it is fetched again", in: daemon.log) >= 4)
                try await daemon.mustCtl("detach", "disk")
            }
        }
    }
}

/// A disk with 24 MiB on its remote, and its cache on a filesystem of its own.
private struct CacheScene {
    let daemon: DaemonUnderTest
    let filesystem: CuttableFilesystem
    let image: String
    let model: StampedPages

    static func make(
        _ daemon: DaemonUnderTest,
        _ remote: TestRemote,
        _ kind: CuttableFilesystem.Kind,
        _ options: String...
    ) async throws -> CacheScene {
        let filesystem = try await CuttableFilesystem.make(
            kind,
            image: "\(daemon.folder)/cache.img",
            at: "\(daemon.folder)/cachefs"
        )
        let words = ["create", "disk", "--size", "64M"] + remote.arguments
        let created = try await daemon.ctl(
            words + ["--chunk-size", "256K", "--cache-dir", "\(filesystem.mountPoint)/cache"] + options
        )
        guard created.isSuccess else { throw ProgramFailure(answer: created) }
        let image = try await daemon.attachImage("disk")
        let model = StampedPages(regions: 24)
        try await model.writeAll(image)
        try await daemon.mustCtl("sync", "disk")
        try await daemon.mustCtl("cache", "evict", "disk")
        return CacheScene(daemon: daemon, filesystem: filesystem, image: image, model: model)
    }

    func fill() async throws { try await fillUp(filesystem.mountPoint) }
    func free() throws { try FileManager.default.removeItem(atPath: "\(filesystem.mountPoint)/filler") }

    /// As an error of the disk below makes it: files that are open for writing stay open.
    func turnReadOnly() async throws {
        try await mustRun(["mount", "-o", "remount,errors=remount-ro", filesystem.mountPoint])
        let device = try await mustRun(["findmnt", "-no", "SOURCE", filesystem.mountPoint])
        let name = device.split(separator: "/").last.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) } ?? ""
        try await mustRun(["sh", "-c", "echo 1 >/sys/fs/ext4/\(name)/trigger_fs_error"])
    }

    func waitUntilWell() async throws {
        try await until("the warnings end") { try await daemon.status("disk").warnings == [] }
    }

    /// A detach of a disk that cannot record anything any more: it says so, and happens.
    func breakUp() async throws {
        let answer = try await daemon.ctl(["detach", "disk"])
        #expect(answer.errors.contains("nothing more is written or uploaded"), "\(answer)")
        #expect(try await daemon.status("disk").device == nil)
    }

    /// The whole disk is right, from the remote alone.
    func end() async throws {
        try await daemon.mustCtl("sync", "disk")
        try await daemon.mustCtl("cache", "evict", "disk")
        for region in 0..<model.regions {
            #expect(try await model.wrongPages(image, region: region) == [], "region \(region)")
        }
        try await daemon.mustCtl("detach", "disk")
        try await daemon.terminate()
        try await filesystem.unmount()
    }
}

/// Takes all the room on a filesystem, root's too, with the file `filler`.
private func fillUp(_ folder: String) async throws {
    let script = """
        # What was freed can be taken only after the journal's commit.
        sync -f "$0"
        fallocate -l $(($(stat -f -c '%a * %S' "$0") - 4194304)) "$0/filler"
        dd if=/dev/zero bs=64k oflag=append conv=notrunc of="$0/filler" 2>/dev/null
        dd if=/dev/zero bs=4k oflag=append conv=notrunc of="$0/filler" 2>/dev/null
        sync -f "$0"
        dd if=/dev/zero bs=4k oflag=append conv=notrunc of="$0/filler" 2>/dev/null
        """
    _ = try await runProgram(["sh", "-c", script, folder])
}

private func until(_ what: String, _ isTrue: () async throws -> Bool) async throws {
    for _ in 0..<200 {
        if try await isTrue() { return }
        try await Task.sleep(for: .milliseconds(100))
    }
    throw DaemonUnderTest.Failure(description: "Waited in vain: \(what).")
}

private func occurrences(of words: String, in text: String) -> Int { text.components(separatedBy: words).count - 1 }
