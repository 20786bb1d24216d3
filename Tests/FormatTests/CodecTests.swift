import Codec
import Foundation
import Testing

func contentHash(_ bytes: [UInt8]) -> UInt64 { XXH3.hash64(bytes) }

@Suite("codec")
struct CodecTests {
    @Test("known hashes")
    func hashes() {
        #expect(XXH3.hash64([UInt8]()) == 0x2D06_8005_38D3_94C2)
        #expect(XXH64.checksum32([UInt8]()) == 0x51D8_E999)
    }

    @Test(
        "stored frames of every width of the size field are zstd",
        arguments: [
            0, 1, 255, 256, 257, 65_535, 65_791, 65_792, 131_072, 131_073, 400_000,
        ]
    )
    func stored(count: Int) throws {
        var random = Seeded(UInt64(count))
        let content = random.noise(count)
        var frame: [UInt8] = []
        content.withUnsafeBytes { StoredFrame.append($0, to: &frame) }
        #expect(try Decompressor().decompress(frame, count: count) == content)
        #expect(try zstd(frame) == content)
    }

    @Test("frames of zeros are a few bytes of zstd", arguments: [65_536, 131_072])
    func zeros(count: Int) throws {
        let frame = StoredFrame.zeros(count)
        #expect(frame.count == (count == 65_536 ? 19 : 21))
        #expect(try zstd(frame) == [UInt8](repeating: 0, count: count))
        #expect(try Decompressor().decompress(frame, count: count) == [UInt8](repeating: 0, count: count))
    }

    @Test("another size, a second frame or a missing checksum is refused")
    func strict() throws {
        var random = Seeded(5)
        let content = random.text(10_000)
        let frame = Compressor().compress(content)
        let decompressor = Decompressor()
        #expect(try decompressor.decompress(frame, count: 10_000) == content)
        #expect(throws: CodecError.contentBytes(found: 10_000, expected: 9_999)) {
            try decompressor.decompress(frame, count: 9_999)
        }
        #expect(throws: CodecError.notOneFrame) { try decompressor.decompress(frame + frame, count: 20_000) }
        #expect(throws: CodecError.notOneFrame) { try decompressor.decompress(frame + [0], count: 10_000) }
        #expect(throws: CodecError.notOneFrame) { try decompressor.decompress([UInt8](), count: 0) }
        let bare = try withTemporaryFolder { folder in
            let file = folder.appending(path: "plain")
            try Data(content).write(to: file)
            return [UInt8](try run(["zstd", "-q", "-c", "--no-check", file.path]).output)
        }
        #expect(throws: CodecError.notOneFrame) { try decompressor.decompress(bare, count: 10_000) }
    }

    @Test("a target that is too small is an error, not an overrun")
    func outputFull() throws {
        var random = Seeded(6)
        let content = random.noise(5_000)
        var target = [UInt8](repeating: 0xAA, count: 4_100)
        #expect(throws: CodecError.outputFull) {
            try content.withUnsafeBytes { source in
                try target.withUnsafeMutableBytes { target in
                    try Compressor().compress(source, into: .init(rebasing: target[..<4_000]))
                }
            }
        }
        #expect(target.suffix(100).allSatisfy { $0 == 0xAA })
    }

    private func zstd(_ bytes: [UInt8]) throws -> [UInt8] {
        try withTemporaryFolder { folder in
            let file = folder.appending(path: "frame.zst")
            try Data(bytes).write(to: file)
            let result = try run(["zstd", "-q", "-d", "-c", file.path])
            #expect(result.status == 0, "\(result.errors)")
            return [UInt8](result.output)
        }
    }
}
