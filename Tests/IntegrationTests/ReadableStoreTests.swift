import Foundation
import Linux
import Testing
import VDriveTestKit

extension Integration {
    /// What lies on the remote can be read without vdrive.
    @Suite(.serialized)
    struct ReadableStoreTests {
        private static let diskBytes = 64 << 20
        private static let chunkBytes = 1 << 20

        /// Noise, text, zeros, single pages, holes; in two commits, the second on top of the first.
        private static func write(to path: String, round: UInt64) throws {
            var generator = Generator(seed: 7 + round)
            let image = try ImageFile(path)
            for _ in 0..<60 {
                let offset = Int.random(in: 0..<diskBytes - (600 << 10), using: &generator)
                let count = Int.random(in: 1...(600 << 10), using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: try image.punch(at: UInt64(offset), count: count)
                case 1:
                    let line = Array("round \(round), offset \(offset)\n".utf8)
                    try image.write(
                        Array(repeating: line, count: count / line.count + 1).flatMap(\.self),
                        at: UInt64(offset)
                    )
                default: try image.write(generator.bytes(count), at: UInt64(offset))
                }
            }
            // A chunk that was data and is a hole.
            if round == 2 { try image.punch(at: UInt64(5 * chunkBytes), count: 2 * chunkBytes) }
            try image.file.sync()
        }

        @Test(.timeLimit(.minutes(3)))
        func `plain zstd gives the chunks, and the rebuild script gives the disk`() async throws {
            try await DaemonUnderTest.use("readable") { daemon in
                let remote = try await TestRemote.make(.file, for: daemon)
                try await daemon.create("disk", size: "64M", on: remote, "--chunk-size", "1M")
                let image = try await daemon.attachImage("disk")
                for round in [UInt64(1), 2] {
                    try await blocking { try Self.write(to: image, round: round) }
                    try await daemon.mustCtl("sync", "disk")
                }
                try await checkChunks(remote, image: image)
                try await checkRebuild(remote, image: image, in: daemon)
                try await daemon.mustCtl("detach", "disk")
            }
        }

        /// The newest object of every chunk, unpacked by `zstd`, is the chunk.
        private func checkChunks(_ remote: TestRemote, image: String) async throws {
            // blk_<chunk>.<term>-<epoch>.zst, in hexadecimal digits.
            var newest: [Int: (version: [Int], path: String)] = [:]
            for path in try remote.objects().keys where path.hasSuffix(".zst") {
                let name = URL(fileURLWithPath: path).lastPathComponent.dropFirst(4).dropLast(4)
                let numbers = name.split { $0 == "." || $0 == "-" }.compactMap { Int($0, radix: 16) }
                try #require(numbers.count == 3, "\(path)")
                if let known = newest[numbers[0]], !known.version.lexicographicallyPrecedes(numbers) { continue }
                newest[numbers[0]] = (numbers, path)
            }
            #expect(newest.count > 30)
            let objects = newest.mapValues { remote.folder.appendingPathComponent($0.path).path }
            let unpacked = remote.folder.path + ".chunk"
            var checked = 0
            for (chunk, object) in objects {
                try await mustRun(["sh", "-c", "zstd -q -dc -- \"$0\" >\"$1\"", object, unpacked])
                let bytes = try Data(contentsOf: URL(fileURLWithPath: unpacked))
                let truth = try await blocking {
                    try ImageFile(image).read(at: UInt64(chunk * Self.chunkBytes), count: Self.chunkBytes)
                }
                // Of a chunk that was trimmed, the last object may still be there.
                if truth.allSatisfy({ $0 == 0 }) { continue }
                checked += 1
                #expect(bytes.elementsEqual(truth), "chunk \(chunk) of \(object)")
            }
            #expect(checked > 30)
        }

        private func checkRebuild(_ remote: TestRemote, image: String, in daemon: DaemonUnderTest) async throws {
            let script = SharedTools.packageFolder.appendingPathComponent("contrib/rebuild/rebuild").path
            let rebuilt = "\(daemon.folder)/rebuilt.img"
            try await mustRun(["python3", script, remote.folder.path, rebuilt], timeoutSeconds: 100)
            let same = try await runProgram(["cmp", rebuilt, image])
            #expect(same.isSuccess, "\(same)")
        }
    }
}
