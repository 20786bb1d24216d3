/// What the stamped writer puts into one sector: where it belongs, who wrote it, and when.
///
/// A sector is eight blocks of 512 bytes, all alike but for the offset. Every byte follows from the stamp, so that
/// making the sector anew and comparing it is a checksum over all of it:
///
///     offset  size  field
///          0     8  magic
///          8     8  place on the disk of this block, in bytes
///         16     8  sequence number of the write, counted from 1 for each writer
///         24     8  seed of the run
///         32     8  writer
///         40     8  checksum of the four above, with the sector's place
///         48   464  filler that follows from the checksum
struct SectorStamp: Equatable, Sendable {
    static let sectorBytes = 4096
    static let blockBytes = 512
    private static let magic: UInt64 = 0x3170_6d61_7473_6476

    var sector: Int
    var sequence: UInt64
    var seed: UInt64
    var writer: Int

    init(sector: Int, sequence: UInt64, seed: UInt64, writer: Int) {
        self.sector = sector
        self.sequence = sequence
        self.seed = seed
        self.writer = writer
    }

    private var checksum: UInt64 {
        var word = Self.magic
        for part in [UInt64(sector), sequence, seed, UInt64(writer)] {
            var generator = Generator(seed: word ^ part)
            word = generator.next()
        }
        return word
    }

    /// Fills a sector's 4096 bytes.
    func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count == Self.sectorBytes)
        let start = UInt64(sector * Self.sectorBytes)
        for (index, word) in [Self.magic, start, sequence, seed, UInt64(writer), checksum].enumerated() {
            bytes.storeBytes(of: word, toByteOffset: index * 8, as: UInt64.self)
        }
        var generator = Generator(seed: checksum)
        generator.fill(UnsafeMutableRawBufferPointer(rebasing: bytes[48..<Self.blockBytes]))
        for block in 1..<Self.sectorBytes / Self.blockBytes {
            let at = block * Self.blockBytes
            bytes.baseAddress!.advanced(by: at).copyMemory(from: bytes.baseAddress!, byteCount: Self.blockBytes)
            bytes.storeBytes(of: start + UInt64(at), toByteOffset: at + 8, as: UInt64.self)
        }
    }

    /// What a block's head says, whether or not the rest fits it.
    fileprivate init?(head bytes: UnsafeRawBufferPointer, block: Int) {
        func word(_ index: Int) -> UInt64 {
            bytes.loadUnaligned(fromByteOffset: block * Self.blockBytes + index * 8, as: UInt64.self)
        }
        let limit = UInt64(Int32.max)
        guard word(0) == Self.magic, word(1) / UInt64(Self.sectorBytes) < limit, word(4) < limit else { return nil }
        sector = Int(word(1)) / Self.sectorBytes
        sequence = word(2)
        seed = word(3)
        writer = Int(word(4))
    }
}

/// What a sector was found to hold.
enum SectorContent: Equatable, Sendable {
    case zeros
    case stamped(SectorStamp)
    /// Neither zeros nor all of one stamp; with what it looks like.
    case damaged(String)

    /// - Parameter scratch: 4096 bytes, overwritten.
    init(_ bytes: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer) {
        let right = UnsafeRawBufferPointer(scratch)
        scratch.initializeMemory(as: UInt8.self, repeating: 0)
        if compareBytes(bytes, right) {
            self = .zeros
            return
        }
        guard let stamp = SectorStamp(head: bytes, block: 0) else {
            self = .damaged("no stamp, \(Self.describe(bytes))")
            return
        }
        stamp.fill(scratch)
        if compareBytes(bytes, right) {
            self = .stamped(stamp)
            return
        }
        let blocks = (0..<SectorStamp.sectorBytes / SectorStamp.blockBytes).filter { block in
            let range = block * SectorStamp.blockBytes..<(block + 1) * SectorStamp.blockBytes
            return !bytes[range].elementsEqual(right[range])
        }
        let other = blocks.first.map { Self.describe(bytes, block: $0) } ?? ""
        self = .damaged("torn: write \(stamp.sequence), but blocks \(blocks) differ, \(other)")
    }

    private static func describe(_ bytes: UnsafeRawBufferPointer, block: Int = 0) -> String {
        if let stamp = SectorStamp(head: bytes, block: block) {
            return "as of write \(stamp.sequence) to sector \(stamp.sector)"
        }
        let at = block * SectorStamp.blockBytes
        let start = bytes[at..<at + 16]
        return "beginning with \(start.map { String($0, radix: 16) }.joined(separator: " "))"
    }
}
