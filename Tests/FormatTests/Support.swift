import Foundation
import VDriveModel

@testable import VDriveFormat

/// SplitMix64: one seed, one sequence.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// Bytes that do not compress.
    mutating func noise(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: next().littleEndian) { bytes.append(contentsOf: $0) } }
        return Array(bytes.prefix(count))
    }

    /// Bytes that compress well, and are not zero.
    mutating func text(_ count: Int) -> [UInt8] {
        let words = ["chunk ", "frame ", "epoch ", "term ", "commit ", "map "].map { Array($0.utf8) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { bytes += words[Int(next() % 6)] }
        return Array(bytes.prefix(count))
    }
}

enum Sample {
    static let disk = DiskID(high: 0x0011_2233_4455_4677, low: 0x8899_AABB_CCDD_EEFF)
    static let version = ObjectVersion(term: Term(3), epoch: Epoch(77))

    static func geometry(_ chunkBytes: Int, chunks: UInt64 = 2000) throws -> DiskGeometry {
        try DiskGeometry(diskBytes: chunks * UInt64(chunkBytes), chunkBytes: chunkBytes)
    }

    /// A map entry whose lengths add up.
    static func entry(_ geometry: DiskGeometry, seed: UInt64) -> MapEntry {
        var random = Seeded(seed)
        let frames = (0..<geometry.framesPerChunk).map { _ in UInt32.random(in: 21...65_000, using: &random) }
        let length =
            ChunkObject.headerBytes + frames.reduce(0) { $0 + Int($1) } + SeekTable.length(frames: frames.count)
        return MapEntry(
            version: ObjectVersion(term: Term(random.next() % 9), epoch: Epoch(random.next() % 999)),
            objectBytes: UInt32(length),
            frameBytes: frames,
            frameChecksums: frames.map { _ in UInt32(truncatingIfNeeded: random.next()) },
            hash: ContentHash(random.next())
        )
    }
}

func hex(_ bytes: some Sequence<UInt8>) -> String { bytes.map { hexadecimal(UInt64($0), digits: 2) }.joined() }

func unhex(_ text: String) -> [UInt8] {
    let digits = Array(text.filter { !$0.isWhitespace })
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0..<$0 + 2]), radix: 16) }
}

/// The package's folder: this file lies two below.
let packageFolder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// Lends a folder that is removed afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "vdrive-format-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
}

struct CommandResult {
    var status: Int32
    var output: Data
    var errors: String
}

/// Runs a program to its end; its output goes through files, so that no pipe can fill up.
func run(_ arguments: [String]) throws -> CommandResult {
    try withTemporaryFolder { folder in
        let output = folder.appending(path: "stdout")
        let errors = folder.appending(path: "stderr")
        try Data().write(to: output)
        try Data().write(to: errors)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: output)
        process.standardError = try FileHandle(forWritingTo: errors)
        try process.run()
        process.waitUntilExit()
        return CommandResult(
            status: process.terminationStatus,
            output: try Data(contentsOf: output),
            errors: String(decoding: try Data(contentsOf: errors), as: UTF8.self)
        )
    }
}

/// Encodes a whole chunk.
func encodeChunk(
    _ chunk: [UInt8],
    index: ChunkIndex,
    version: ObjectVersion = Sample.version,
    geometry: DiskGeometry,
    level: Int = 3
) throws -> (object: [UInt8], entry: MapEntry) {
    var encoder = ChunkEncoder(id: Sample.disk, chunk: index, version: version, geometry: geometry, level: level)
    for frame in 0..<geometry.framesPerChunk {
        let start = frame * geometry.frameBytes
        try chunk[start..<start + geometry.frameBytes].withUnsafeBytes { bytes in try encoder.append(frame: bytes) }
    }
    return encoder.finish(hash: ContentHash(contentHash(chunk)))
}

/// Verifies and decodes a whole object.
func decodeChunk(
    _ object: [UInt8],
    index: ChunkIndex,
    entry: MapEntry,
    geometry: DiskGeometry
) throws -> [UInt8] {
    var chunk = [UInt8](repeating: 0xEE, count: geometry.chunkBytes)
    try object.withUnsafeBytes { bytes in
        try chunk.withUnsafeMutableBytes { target in
            try ChunkObject.decode(
                bytes,
                id: Sample.disk,
                chunk: index,
                entry: entry,
                geometry: geometry,
                into: target
            )
        }
    }
    return chunk
}
