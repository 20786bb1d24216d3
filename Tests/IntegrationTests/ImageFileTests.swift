import Foundation
import Linux
import Testing
import VDriveProtocol
import VDriveTestKit

extension Integration {
    /// What a program sees of `disk.img` and of its folder, and what `status` tells.
    @Suite(.serialized)
    struct ImageFileTests {
        private static let chunk = UInt64(1 << 20)

        /// Attributes may be a second old.
        private func waits(_ body: @escaping @Sendable () throws -> Bool) async throws -> Bool {
            for _ in 0..<60 {
                if try await blocking(body) { return true }
                try await Task.sleep(for: .milliseconds(100))
            }
            return false
        }

        @Test(.timeLimit(.minutes(1)))
        func `blocks, holes and free space follow what is written and punched`() async throws {
            let chunk = Self.chunk
            try await DaemonUnderTest.use("image") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "1M")
                let image = try await daemon.attachImage("disk")
                let folder = URL(fileURLWithPath: image).deletingLastPathComponent().path
                try await blocking {
                    let file = try ImageFile(image)
                    let status = try FileStatus.of(image)
                    #expect(status.bytes == 64 << 20 && status.allocatedBytes == 0 && status.kind == .file)
                    let space = try FilesystemSpace.of(folder)
                    #expect(space.totalBytes == 64 << 20 && space.availableBytes == 64 << 20)
                    #expect(try file.file.seekData(from: 0) == nil)
                    #expect(try file.file.seekHole(from: 0) == 0)
                    try file.write([UInt8](repeating: 7, count: 5000), at: 3 * chunk + 100_000)
                    try file.write([UInt8](repeating: 8, count: 2 << 20), at: 10 * chunk)
                    #expect(try file.file.seekData(from: 0) == 3 * chunk)
                    #expect(try file.file.seekHole(from: 3 * chunk) == 4 * chunk)
                    #expect(try file.file.seekData(from: 4 * chunk) == 10 * chunk)
                    #expect(try file.file.seekHole(from: 10 * chunk) == 12 * chunk)
                    #expect(try file.file.seekData(from: 12 * chunk) == nil)
                }
                try await daemon.mustCtl("sync", "disk")
                #expect(try await waits { try FileStatus.of(image).allocatedBytes == 3 * chunk })
                #expect(try await waits { try FilesystemSpace.of(folder).availableBytes == 61 * chunk })
                #expect(try await daemon.status("disk").allocatedBytes == 3 * chunk)
                try await daemon.mustCtl("cache", "evict", "disk", "--wait")
                try await blocking {
                    let file = try ImageFile(image)
                    #expect(try file.file.seekData(from: 0) == 3 * chunk)
                    #expect(try file.file.seekHole(from: 10 * chunk) == 12 * chunk)
                    try file.punch(at: 0, count: Int(11 * chunk))
                    #expect(try file.read(at: 3 * chunk, count: 200_000).allSatisfy { $0 == 0 })
                    #expect(try file.read(at: 11 * chunk, count: 4096).allSatisfy { $0 == 8 })
                }
                try await daemon.mustCtl("sync", "disk")
                #expect(try await waits { try FileStatus.of(image).allocatedBytes == chunk })
                #expect(try await daemon.status("disk").allocatedBytes == chunk)
                #expect(try await blocking { try ImageFile(image).file.seekData(from: 0) } == 11 * chunk)
                try await daemon.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `what a disk cannot do is refused with the right error`() async throws {
            try await DaemonUnderTest.use("errno") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote)
                let image = try await daemon.attachImage("disk")
                let folder = URL(fileURLWithPath: image).deletingLastPathComponent().path
                try await blocking {
                    #expect(try Directory.list(folder) == ["disk.img"])
                    func fails(_ error: Errno, _ body: () throws -> Void) {
                        #expect(throws: error) { try body() }
                    }
                    fails(.notPermitted) { _ = try OpenFile.open("\(folder)/new", flags: O_RDWR | O_CREAT) }
                    fails(.noSuchFileOrDirectory) { _ = try OpenFile.open("\(folder)/new", flags: O_RDWR) }
                    fails(.notPermitted) { try Directory.create("\(folder)/new") }
                    fails(.notPermitted) { try Directory.removeFile(image) }
                    fails(.notPermitted) { try Directory.rename(image, to: "\(folder)/other") }
                    fails(.notPermitted) { if symlink("x", "\(folder)/link") != 0 { throw Errno.current } }
                    fails(.notPermitted) { if link(image, "\(folder)/link") != 0 { throw Errno.current } }
                    fails(.notPermitted) { if chmod(image, 0o644) != 0 { throw Errno.current } }
                    let file = try ImageFile(image)
                    fails(.notPermitted) { try file.file.truncate(to: 32 << 20) }
                    try file.file.truncate(to: 64 << 20)
                    fails(.notSupported) { try file.allocate(0, at: 0, count: 4096) }
                    fails(.notSupported) { try file.allocate(ImageFile.keepSize, at: 0, count: 4096) }
                    #expect(try FileStatus.of(image).allocatedBytes == 0)
                    fails(.fileTooLarge) { try file.write([1], at: 64 << 20) }
                    // What crosses the end is written up to it, as on any device.
                    let end = (UInt64(64) << 20) - 4
                    let written = [UInt8](repeating: 5, count: 10).withUnsafeBytes {
                        pwrite(file.file.descriptor, $0.baseAddress!, 10, off_t(end))
                    }
                    #expect(written == 4)
                    var after = [UInt8](repeating: 0, count: 10)
                    let count = try after.withUnsafeMutableBytes { try file.file.pread(into: $0, at: end) }
                    #expect(count == 4 && after[..<4].allSatisfy { $0 == 5 })
                    let beyond = try after.withUnsafeMutableBytes { try file.file.pread(into: $0, at: 64 << 20) }
                    #expect(beyond == 0)
                }
                try await daemon.mustCtl("detach", "disk")
            }
        }

        @Test(.timeLimit(.minutes(1)))
        func `status tells every field, attached and detached, and no secret`() async throws {
            try await DaemonUnderTest.use("status") { daemon in
                let remote = try await TestRemote.make(.apache, for: daemon)
                try await daemon.create("disk", size: "1G", on: remote, "--cache-size", "128M")
                let names = [
                    "allocatedBytes", "cache", "chunkBytes", "device", "epoch", "image", "mountPoint", "remote",
                    "sizeBytes", "state", "term", "upload",
                ]
                func object() async throws -> [String: Any] {
                    let text = try await daemon.mustCtl("status", "disk", "--json")
                    #expect(!text.contains("\"password\"") && !text.contains("user:"))
                    return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
                }
                func number(_ value: Any?) -> Int? { (value as? NSNumber)?.intValue }
                let detached = try await object()
                for name in names { #expect(detached[name] != nil, "\(name)") }
                #expect(detached["state"] as? String == "detached")
                #expect(detached["image"] is NSNull && detached["device"] is NSNull && detached["term"] is NSNull)

                let mount = daemon.mountPoint("disk")
                try await daemon.mustCtl("attach", "disk", "--mount", mount)
                try await mustRun(["dd", "if=/dev/urandom", "of=\(mount)/x", "bs=1M", "count=9", "conv=fsync"])
                try await daemon.mustCtl("sync", "disk")
                let attached = try await object()
                for name in names { #expect(attached[name] != nil, "\(name)") }
                #expect(attached["state"] as? String == "attached")
                #expect(attached["image"] as? String == "\(daemon.runDirectory)/disk/disk.img")
                #expect((attached["device"] as? String)?.hasPrefix("/dev/loop") == true)
                #expect(attached["mountPoint"] as? String == mount)
                #expect(number(attached["sizeBytes"]) == 1 << 30 && number(attached["chunkBytes"]) == 4 << 20)
                #expect(number(attached["term"]) == 1 && number(attached["epoch"]) ?? 0 >= 2)
                #expect(number(attached["allocatedBytes"]) ?? 0 >= 9 << 20)
                let cache = attached["cache"] as? [String: Any]
                #expect(number(cache?["limitBytes"]) == 128 << 20)
                #expect(number(cache?["usedBytes"]) ?? 0 >= 9 << 20)
                #expect(number(cache?["dirtyBytes"]) != nil)
                #expect(number((attached["upload"] as? [String: Any])?["pendingBytes"]) == 0)
                let shown = attached["remote"] as? [String: Any]
                #expect(shown?["url"] as? String == remote.url && shown?["state"] as? String == "online")
                let table = try await daemon.mustCtl("status")
                #expect(table.contains("disk") && table.contains(mount))
                try await daemon.mustCtl("detach", "disk")
                let again = try await object()
                #expect(again["state"] as? String == "detached" && again["device"] is NSNull)
            }
        }
    }
}
