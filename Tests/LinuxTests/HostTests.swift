import Foundation
import Linux
import Testing
import VDriveHost

/// Real loop devices, mkfs and mounts on sparse files; all of it needs root, and all of it is taken down again.
@Suite(.serialized) struct HostTests {
    let scratch: Scratch
    let threads = BlockingThreads(name: "host-test", count: 2)

    init() throws { scratch = try Scratch() }

    /// Attaches an image for the time of a body.
    private func withLoop(_ bytes: UInt64, _ body: (LoopDevice) async throws -> Void) async throws {
        let image = try scratch.sparse("disk.img", bytes: bytes)
        let device = try await LoopDevice.attach(backingFile: image, on: threads)
        do {
            try await body(device)
        } catch {
            for entry in try MountTable.current().entries(on: device.deviceNumber()).reversed() {
                try? await MountPoint(entry.path).unmount(whenBusy: .detach(afterSeconds: 0), on: threads)
            }
            try? await device.detach(on: threads)
            throw error
        }
        try await device.detach(on: threads)
        threads.shutdown()
    }

    @Test func `a loop device is attached as it should be, found, tuned and detached`() async throws {
        try await withLoop(64 << 20) { device in
            #expect(device.isAttached)
            #expect(try device.bytes() == 64 << 20)
            #expect(try LoopDevice.find(backingFile: device.backingFile) == [device])
            #expect(try readText("/sys/block/loop\(device.number)/loop/dio") == "1")
            #expect(try readText("/sys/block/loop\(device.number)/loop/autoclear") == "0")
            try device.setReadAhead(kibibytes: 4096)
            try device.tuneQueue(depth: 64)
            try OpenFile.open(device.backingFile, flags: O_RDWR).truncate(to: 128 << 20)
            try await device.updateCapacity(on: threads)
            #expect(try device.bytes() == 128 << 20)
            try Directory.removeFile(device.backingFile)
            #expect(try LoopDevice.find(backingFile: device.backingFile) == [device])
            try await device.detach(on: threads)
            #expect(try LoopDevice.find(backingFile: device.backingFile).isEmpty)
        }
    }

    @Test func `an image that is not there cannot be attached`() async {
        await #expect(throws: HostError.self) {
            try await LoopDevice.attach(backingFile: scratch.file("nothing"), on: threads)
        }
        threads.shutdown()
    }

    @Test(arguments: [Filesystem.ext4, .xfs])
    func `an empty disk is formatted, mounted, used and unmounted, and never formatted again`(
        filesystem: Filesystem
    ) async throws {
        try await withLoop(1 << 30) { device in
            #expect(try await Filesystem.detect(device, on: threads) == .empty)
            try await filesystem.format(device, name: "test disk with a long name", on: threads)
            let content = try await Filesystem.detect(device, on: threads)
            guard case .filesystem(filesystem.rawValue, let uuid?) = content, !uuid.isEmpty else {
                Issue.record("found \(content)")
                return
            }
            await #expect(
                performing: {
                    try await Filesystem.ext4.format(device, name: "other", on: threads)
                },
                throws: { ($0 as? HostError)?.kind == .notEmpty(content) }
            )

            let place = try MountPoint(scratch.file("mnt/deep/er"))
            try await place.mount(device, as: filesystem, discards: true, on: threads)
            #expect(try place.isMounted())
            let entry = try #require(try MountTable.current().entry(at: place.path))
            #expect(entry.type == filesystem.rawValue && entry.options.contains("noatime"))
            try writeFileAtomically("\(place.path)/file", Array("kept".utf8))
            await #expect(throws: HostError.self) { try await place.mount(device, as: filesystem, on: threads) }
            try await place.unmount(whenBusy: .refuse(afterSeconds: 5), on: threads)
            #expect(try !place.isMounted())
            try await place.mount(device, as: filesystem, isReadOnly: true, on: threads)
            #expect(try readText("\(place.path)/file") == "kept")
            try await place.unmount(whenBusy: .refuse(afterSeconds: 5), on: threads)
        }
    }

    @Test func `a busy mount names its users, or goes lazily`() async throws {
        try await withLoop(64 << 20) { device in
            try await Filesystem.ext4.format(device, name: "busy", on: threads)
            let place = try MountPoint(scratch.file("mnt"))
            try await place.mount(device, as: .ext4, on: threads)
            var file: OpenFile? = try OpenFile.open("\(place.path)/open", flags: O_RDWR | O_CREAT)
            await #expect(
                performing: {
                    try await place.unmount(whenBusy: .refuse(afterSeconds: 0), on: threads)
                },
                throws: { error in
                    guard let error = error as? HostError else { return false }
                    return error.kind == .busy && error.message.contains("(\(getpid()))")
                }
            )
            #expect(try place.isMounted())
            try await place.unmount(whenBusy: .detach(afterSeconds: 0), on: threads)
            #expect(try !place.isMounted())
            #expect(try file?.size() == 0)
            file = nil
        }
    }

    @Test func `a partition table and a damaged superblock are not empty`() async throws {
        let table = try scratch.sparse("table.img", bytes: 64 << 20)
        // A DOS table with one Linux partition of 32 MiB, from sector 2048 on.
        var sector = [UInt8](repeating: 0, count: 512)
        sector.replaceSubrange(446..<462, with: [0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0])
        sector.replaceSubrange(510..<512, with: [0x55, 0xAA])
        try OpenFile.open(table, flags: O_RDWR).pwriteAll(sector, at: 0)
        #expect(try BlockProbe.content(of: table) == .partitionTable("dos"))

        let damaged = try scratch.sparse("damaged.img", bytes: 64 << 20)
        try #require(try Subprocess.runBlocking(["mkfs.ext4", "-q", damaged], timeoutSeconds: 60).isSuccess)
        // The superblock at 1024 keeps its magic, and loses the truth of its checksum.
        try OpenFile.open(damaged, flags: O_RDWR).pwriteAll([0xAA, 0xBB, 0xCC], at: 1024 + 0x78)
        #expect(try BlockProbe.content(of: damaged) != .empty)

        let swap = try scratch.sparse("swap.img", bytes: 64 << 20)
        try #require(try Subprocess.runBlocking(["mkswap", swap], timeoutSeconds: 60).isSuccess)
        guard case .other = try BlockProbe.content(of: swap) else {
            Issue.record("swap is \(try BlockProbe.content(of: swap))")
            return
        }
        threads.shutdown()
    }

    @Test func `what a dead daemon left is cleaned, twice without harm`() async throws {
        let stale = StaleMounts(fuseFolder: scratch.path, imageName: "disk.img")
        try await withLoop(64 << 20) { device in
            try await Filesystem.ext4.format(device, name: "stale", on: threads)
            let place = try MountPoint(scratch.file("mnt"))
            try await place.mount(device, as: .ext4, on: threads)
            let report = try await stale.clean(on: threads)
            #expect(report.unmounted == [place.path] && report.detached == [device.devicePath])
            #expect(try await stale.clean(on: threads).isEmpty)
            #expect(try LoopDevice.find(backingFile: device.backingFile).isEmpty)
            #expect(!device.isAttached)
        }
    }

    @Test func `a FUSE mount is cleaned when its daemon is dead, and refused while it lives`() async throws {
        let folder = scratch.file("fuse")
        try Directory.createAll(folder)
        var daemon: OpenFile? = try OpenFile.open("/dev/fuse", flags: O_RDWR)
        let number = try #require(daemon?.descriptor)
        let options = "fd=\(number),rootmode=40000,user_id=0,group_id=0"
        try #require(mount("vdrive-test", folder, "fuse", 0, options) == 0)
        let stale = StaleMounts(fuseFolder: folder, imageName: "disk.img")
        // Nobody answers, but the descriptor is open: a daemon that hangs, not a dead one.
        await #expect(
            performing: { try await stale.clean(on: threads) },
            throws: { ($0 as? HostError)?.kind == .busy }
        )
        daemon = nil
        #expect(try await stale.clean(on: threads) == .init(unmounted: [folder]))
        #expect(try MountTable.current().entry(at: folder) == nil)
        #expect(try await stale.clean(on: threads).isEmpty)
        threads.shutdown()
    }

    @Test func `the table of mounts is read as the kernel writes it`() {
        let table = MountTable(
            parsing: """
                22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
                40 22 7:3 / /mnt/my\\040data rw,noatime - ext4 /dev/loop3 rw
                41 40 0:44 / /mnt/my\\040data/sub rw - fuse.vdrive vdrive rw,user_id=0
                broken line
                """
        )
        #expect(table.entries.map(\.path) == ["/", "/mnt/my data", "/mnt/my data/sub"])
        #expect(table.entry(containing: "/mnt/my data/file")?.device == DeviceNumber(major: 7, minor: 3))
        #expect(table.entry(containing: "/mnt/my datax")?.path == "/")
        #expect(table.entries(below: "/mnt/my data").map(\.isFuse) == [true])
    }

    @Test func `a cache on the disk itself is found`() throws {
        try Directory.createAll(scratch.file("mnt"))
        #expect(symlink(scratch.file("mnt"), scratch.file("link")) == 0)
        let mount = scratch.file("mnt")
        #expect(try HostCheck.liesOn(scratch.file("mnt/cache"), mountPoint: mount))
        #expect(try HostCheck.liesOn(scratch.file("link/cache"), mountPoint: mount))
        #expect(try !HostCheck.liesOn(scratch.file("mnt2"), mountPoint: mount))
        #expect(try HostCheck.cacheProblem(cacheFolder: scratch.file("other"), mountPoint: mount) == nil)
        #expect(HostCheck.problems(filesystem: .ext4).isEmpty)
    }
}
