import Logging
import Synchronization
import Testing
import VDriveProtocol

@testable import VDriveControl

@Suite("undoing")
struct UndoListTests {
    private struct Failure: Error {}
    private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test("steps are undone in reverse, and one that fails does not keep the others")
    func reverses() async {
        let done = Mutex<[Int]>([])
        var undo = UndoList()
        for step in 1...4 {
            undo.add("step \(step)") {
                done.withLock { $0.append(step) }
                if step == 3 { throw Failure() }
            }
        }
        await undo.run(logger: quiet)
        #expect(done.withLock { $0 } == [4, 3, 2, 1])
        await undo.run(logger: quiet)
        #expect(done.withLock { $0.count } == 4)
    }
}

@Suite("places")
struct PlaceCheckTests {
    @Test("a mount point does not cover what the disk needs")
    func covers() throws {
        let folder = try ScratchFolder()
        let inside = "\(folder.path)/mnt/cache/new"
        #expect(throws: RPCError.self) {
            try PlaceCheck.check(mountPoint: "\(folder.path)/mnt", doesNotCover: inside, purpose: "The cache directory")
        }
        #expect(throws: RPCError.self) {
            try PlaceCheck.check(mountPoint: inside, doesNotCover: inside, purpose: "The cache directory")
        }
        try PlaceCheck.check(mountPoint: "\(folder.path)/mn", doesNotCover: inside, purpose: "The cache directory")
        try PlaceCheck.check(mountPoint: inside + "/x", doesNotCover: inside, purpose: "The cache directory")
    }

    @Test("paths are absolute and go nowhere but down", arguments: ["relative", "/a/../b", ""])
    func absolute(path: String) {
        #expect(throws: RPCError.self) { try PlaceCheck(devices: [:]).check(path, purpose: "The cache directory") }
    }
}
