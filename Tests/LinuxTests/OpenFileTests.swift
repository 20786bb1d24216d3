import Foundation
import Linux
import Testing

@Suite struct OpenFileTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func `bytes come back from where they were written`() throws {
        let file = try OpenFile.open(scratch.file("a"), flags: O_RDWR | O_CREAT)
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try file.pwriteAll(bytes, at: 12_345)
        try file.datasync()
        #expect(try file.preadAll(count: bytes.count, at: 12_345) == bytes)
        #expect(try file.size() == 112_345)
        #expect(throws: Errno.noData) { try file.preadAll(count: 10, at: 112_340) }
    }

    @Test func `a missing file says so`() {
        #expect(throws: Errno.noSuchFileOrDirectory) { try OpenFile.open("/no/such/file", flags: O_RDONLY) }
        #expect(Errno.noSpace.description == "No space left on device (28)")
    }

    @Test func `punched pages are free and read as zeros`() throws {
        let file = try OpenFile.open(scratch.file("sparse"), flags: O_RDWR | O_CREAT)
        try file.truncate(to: 1 << 30)
        #expect(try file.allocatedBytes() == 0)
        #expect(try file.seekData(from: 0) == nil)
        try file.pwriteAll([UInt8](repeating: 7, count: 1 << 20), at: 64 << 20)
        try file.sync()
        #expect(try file.allocatedBytes() >= 1 << 20)
        #expect(try file.seekData(from: 0) == 64 << 20)
        #expect(try file.seekHole(from: 64 << 20) == 65 << 20)
        try file.punchHole(at: 64 << 20, length: 1 << 19)
        #expect(try file.preadAll(count: 4096, at: 64 << 20) == [UInt8](repeating: 0, count: 4096))
        #expect(try file.seekData(from: 0) == (64 << 20) + (1 << 19))
        #expect(try file.size() == 1 << 30)
        #expect(try file.seekData(from: 1 << 31) == nil)
        #expect(try file.seekHole(from: 1 << 31) == nil)
    }

    @Test func `a copied range holds the same bytes, and a clone does or says no`() throws {
        let source = try OpenFile.open(scratch.file("source"), flags: O_RDWR | O_CREAT)
        let target = try OpenFile.open(scratch.file("target"), flags: O_RDWR | O_CREAT)
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        try source.pwriteAll(bytes, at: 4096)
        try target.copyRange(from: source, at: 4096, to: 8192, length: UInt64(bytes.count))
        #expect(try target.preadAll(count: bytes.count, at: 8192) == bytes)
        #expect(throws: Errno.noData) { try target.copyRange(from: source, at: 4096, to: 0, length: 4_000_000) }
        if try target.cloneRange(from: source, at: 4096, to: 1 << 24, length: 1 << 20) {
            #expect(try target.preadAll(count: 1 << 20, at: 1 << 24) == Array(bytes[..<(1 << 20)]))
        }
    }

    @Test func `a lock is held by one open file`() throws {
        let first = try OpenFile.open(scratch.file("lock"), flags: O_RDWR | O_CREAT)
        let second = try OpenFile.open(scratch.file("lock"), flags: O_RDWR)
        #expect(try first.tryLock())
        #expect(try !second.tryLock())
    }

    @Test func `an atomic write replaces all, with its mode, and leaves nothing beside it`() throws {
        let path = scratch.file("config")
        try writeFileAtomically(path, Array("old".utf8))
        try writeFileAtomically(path, Array("new and longer".utf8), mode: 0o640)
        #expect(try readText(path) == "new and longer")
        #expect(try FileStatus.of(path).mode == 0o640)
        #expect(try Directory.list(scratch.path) == ["config"])
        #expect(throws: Errno.fileTooLarge) { try readFile(path, maxBytes: 5) }
    }

    @Test func `directories are made, listed and removed with all in them`() throws {
        try Directory.createAll(scratch.file("a/b/c"))
        try Directory.createAll(scratch.file("a/b/c"))
        #expect(throws: Errno.fileExists) { try Directory.create(scratch.file("a")) }
        try writeFileAtomically(scratch.file("a/b/f"), [1])
        #expect(symlink("/", scratch.file("a/link")) == 0)
        #expect(try Directory.list(scratch.file("a")) == ["b", "link"])
        try Directory.removeTree(scratch.file("a"))
        try Directory.removeTree(scratch.file("a"))
        #expect(!Directory.exists(scratch.file("a")))
        #expect(Directory.parent(of: "/a/b/") == "/a")
        #expect(Directory.parent(of: "/a") == "/")
        #expect(Directory.parent(of: "/") == nil)
    }

    @Test func `extents say where the bytes are`() throws {
        let file = try OpenFile.open(scratch.file("extents"), flags: O_RDWR | O_CREAT)
        try file.pwriteAll([UInt8](repeating: 1, count: 65536), at: 0)
        try file.pwriteAll([UInt8](repeating: 2, count: 65536), at: 1 << 24)
        let extents = try FileExtents.extents(of: scratch.file("extents"))
        #expect(extents.map(\.length).reduce(0, +) == 131_072)
        #expect(extents.first?.logical == 0)
        #expect(extents.last?.isLast == true)
        #expect(extents.allSatisfy { $0.hasLocation && $0.physical > 0 })
        let space = try FilesystemSpace.of(scratch.path)
        #expect(space.totalBytes >= space.freeBytes && space.freeBytes >= space.availableBytes)
        let identity = try FilesystemIdentity.of(scratch.path)
        #expect(identity == (try FilesystemIdentity.of(scratch.file("extents"))))
    }
}
