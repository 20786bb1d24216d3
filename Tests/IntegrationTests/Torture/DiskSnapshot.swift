import Glibc
import Linux

/// Two pieces of memory hold the same bytes.
func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    left.count == right.count && memcmp(left.baseAddress!, right.baseAddress!, left.count) == 0
}

/// A whole image, a sequence number a sector.
struct DiskSnapshot: Equatable, Sendable {
    /// By sector: the number of the write whose stamp it holds; 0 for zeros, and for what is damaged.
    var numbers: [UInt64]
    /// What is no sector of this run at all, in words.
    var damage: [String] = []

    init(numbers: [UInt64]) { self.numbers = numbers }

    /// Reads an image and checks every sector's stamp, place, seed and writer. Blocks.
    init(of path: String, disk: ShadowDisk.Layout) throws {
        let file = try OpenFile.open(path, flags: O_RDONLY)
        let piece = 256
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece * 4096, alignment: 4096)
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { buffer.deallocate() }
        defer { scratch.deallocate() }
        numbers = [UInt64](repeating: 0, count: disk.sectors)
        for first in stride(from: 0, to: disk.sectors, by: piece) {
            let count = min(piece, disk.sectors - first)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * 4096)])
            try file.preadAll(into: part, at: UInt64(first * 4096))
            for index in 0..<count {
                let bytes = UnsafeRawBufferPointer(rebasing: part[(index * 4096)..<(index + 1) * 4096])
                take(SectorContent(bytes, scratch: scratch), sector: first + index, disk)
            }
        }
    }

    private mutating func take(_ content: SectorContent, sector: Int, _ disk: ShadowDisk.Layout) {
        switch content {
        case .zeros: break
        case .damaged(let how): damage.append("sector \(sector): \(how)")
        case .stamped(let stamp):
            let right = SectorStamp(
                sector: sector,
                sequence: stamp.sequence,
                seed: disk.seed,
                writer: disk.owner(of: sector)
            )
            if stamp == right {
                numbers[sector] = stamp.sequence
            } else {
                damage.append("sector \(sector): somebody else's bytes: \(stamp)")
            }
        }
    }
}
