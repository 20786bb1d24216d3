import Foundation
import Linux
import Testing
import VDriveTestKit

/// What a disk should hold.
struct DiskModel {
    static let size = "16M"
    private var bytes = [UInt8](repeating: 0, count: 16 << 20)

    /// Writes noise at places that the seed decides, and makes it durable locally.
    mutating func write(_ count: Int, to image: String, seed: UInt64) async throws {
        var generator = Generator(seed: seed)
        var writes: [(offset: Int, bytes: [UInt8])] = []
        for _ in 0..<count {
            let length = Int.random(in: 1...20_000, using: &generator)
            let offset = Int.random(in: 0...bytes.count - length, using: &generator)
            writes.append((offset, generator.bytes(length)))
            bytes.replaceSubrange(offset..<offset + length, with: writes.last!.bytes)
        }
        let all = writes
        try await blocking {
            let file = try ImageFile(image)
            for write in all { try file.write(write.bytes, at: UInt64(write.offset)) }
            try file.file.sync()
        }
    }

    func check(_ image: String, _ when: String) async throws {
        let expected = bytes
        let wrong = try await blocking {
            let file = try ImageFile(image, flags: O_RDONLY)
            return try stride(from: 0, to: expected.count, by: 65536).filter { offset in
                try file.read(at: UInt64(offset), count: 65536) != Array(expected[offset..<offset + 65536])
            }
        }
        #expect(wrong.isEmpty, "\(when): \(wrong.count) chunks differ, the first at \(wrong.first ?? 0)")
    }
}
