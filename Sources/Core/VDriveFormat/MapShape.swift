package import VDriveModel

/// The form of a disk's map: a radix tree of 512 ways, as many levels as the number of chunks asks for.
///
/// Level 0 holds the entries of chunks; the highest level has one node, the root, of index 0.
package struct MapShape: Hashable, Sendable {
    package static let slotsPerNode = 512
    private static let slotBits: UInt64 = 9

    package let chunkCount: UInt64
    /// The number of levels, 1 to 5.
    package let levels: Int

    /// - Parameter chunkCount: at least 1.
    package init(chunkCount: UInt64) {
        precondition(chunkCount > 0)
        var levels = 1
        while (chunkCount - 1) >> (Self.slotBits * UInt64(levels)) > 0 { levels += 1 }
        self.chunkCount = chunkCount
        self.levels = levels
    }

    package init(_ geometry: DiskGeometry) { self.init(chunkCount: geometry.chunkCount) }

    package var rootLevel: Int { levels - 1 }

    /// The node of a level that covers a chunk.
    package func nodeIndex(of chunk: ChunkIndex, level: Int) -> UInt64 {
        chunk.rawValue >> (Self.slotBits * UInt64(level + 1))
    }

    /// The slot of that node in which the chunk, or the node below that covers it, stands.
    package func slot(of chunk: ChunkIndex, level: Int) -> Int {
        Int(chunk.rawValue >> (Self.slotBits * UInt64(level)) & UInt64(Self.slotsPerNode - 1))
    }

    /// How many nodes a level has when all are there.
    package func nodeCount(level: Int) -> UInt64 { nodeIndex(of: ChunkIndex(chunkCount - 1), level: level) + 1 }

    /// The chunks that a node covers, cut at the disk's end.
    package func chunks(ofNode index: UInt64, level: Int) -> Range<UInt64> {
        let shift = Self.slotBits * UInt64(level + 1)
        let start = min(index << shift, chunkCount)
        return start..<min((index + 1) << shift, chunkCount)
    }

    /// The node one level up and the slot in it that refer to a node.
    package func parent(ofNode index: UInt64) -> (index: UInt64, slot: Int) {
        (index >> Self.slotBits, Int(index & UInt64(Self.slotsPerNode - 1)))
    }
}
