import Foundation
import Linux

/// A directory of its own for one test, removed with the value.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "vdrive-test-" + UUID().uuidString
        try Directory.createAll(path)
    }

    deinit { try? Directory.removeTree(path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func sparse(_ name: String, bytes: UInt64) throws -> String {
        try OpenFile.open(file(name), flags: O_RDWR | O_CREAT).truncate(to: bytes)
        return file(name)
    }
}
