import Glibc
import Linux

/// The metadata of xfs, as far as it can be found without its reverse map.
///
/// The kernel keeps xfs's metadata apart from the device's page cache, so what is read from the device here may be as
/// old as the last time that the log was written back: a tree that has changed since is found by a later look.
struct XFSMetadata: FilesystemMetadata {
    private let device: DirectReads
    private let geometry: Geometry
    private(set) var fixed: [Range<UInt64>] = []

    /// Inodes are made in chunks of 64, which the kernel reads at once.
    private static let inodesAChunk: UInt64 = 64
    private static let depthMax = 9

    /// What the superblock says; all numbers on the disk are big-endian.
    private struct Geometry {
        let blockBytes: UInt64
        let sectorBytes: UInt64
        let groups: UInt64
        let groupBlocks: UInt64
        let groupBlockBits: UInt64
        let inodeBytes: UInt64
        let inodesABlockBits: UInt64
        let isVersion5: Bool

        init?(_ block: DiskBytes) {
            guard block.word(0) == 0x5846_5342 else { return nil }
            blockBytes = block.word(4)
            groupBlocks = block.word(84)
            groups = block.word(88)
            isVersion5 = block.short(100) & 0xF == 5
            sectorBytes = UInt64(block.short(102))
            inodeBytes = UInt64(block.short(104))
            inodesABlockBits = UInt64(block.byte(123))
            groupBlockBits = UInt64(block.byte(124))
            guard blockBytes >= 512, sectorBytes >= 512, inodeBytes >= 256, groupBlocks > 0, groupBlockBits <= 32,
                inodesABlockBits <= 16
            else { return nil }
        }

        /// The position of a block that is numbered within its group.
        func position(group: UInt64, block: UInt64) -> UInt64 { (group * groupBlocks + block) * blockBytes }

        /// The position of a block by the number that trees of files use.
        func position(_ block: UInt64) -> UInt64 {
            position(group: block >> groupBlockBits, block: block & ((1 << groupBlockBits) - 1))
        }

        /// The position of an inode.
        func position(inode: UInt64) -> UInt64 {
            position(inode >> inodesABlockBits) + (inode & ((1 << inodesABlockBits) - 1)) * inodeBytes
        }
    }

    /// - Parameter isWhole: with the trees of free space, inodes, owners and references.
    init(devicePath: String, isWhole: Bool) throws(Errno) {
        device = try DirectReads(devicePath)
        guard let geometry = Geometry(DiskBytes(try device.read(at: 0, count: 512), isBigEndian: true)) else {
            throw .invalidArgument
        }
        self.geometry = geometry
        for group in 0..<geometry.groups {
            let start = geometry.position(group: group, block: 0)
            // Superblock, free space, inodes, free list: a sector each.
            fixed.append(start..<start + 4 * geometry.sectorBytes)
            if isWhole { try addTrees(group, start) }
        }
    }

    private mutating func addTrees(_ group: UInt64, _ start: UInt64) throws(Errno) {
        let sector = Int(geometry.sectorBytes)
        let space = DiskBytes(try device.read(at: start + UInt64(sector), count: sector), isBigEndian: true)
        let inodes = DiskBytes(try device.read(at: start + UInt64(2 * sector), count: sector), isBigEndian: true)
        // Root, and the bytes of a key: two keys a pointer where ranges overlap.
        let trees: [(root: UInt64, keyBytes: Int)] = [
            (space.word(16), 8), (space.word(20), 8), (space.word(24), 40), (space.word(88), 4),
            (inodes.word(20), 4), (geometry.isVersion5 ? inodes.word(328) : 0, 4),
        ]
        for tree in trees { try addTree(group, tree.root, keyBytes: tree.keyBytes, depth: 0) }
    }

    /// A tree whose pointers are numbers within the group.
    private mutating func addTree(_ group: UInt64, _ block: UInt64, keyBytes: Int, depth: Int) throws(Errno) {
        guard block > 0, block < geometry.groupBlocks, depth <= Self.depthMax else { return }
        let position = geometry.position(group: group, block: block)
        fixed.append(position..<position + geometry.blockBytes)
        let node = DiskBytes(try device.read(at: position, count: Int(geometry.blockBytes)), isBigEndian: true)
        let head = geometry.isVersion5 ? 56 : 16
        let most = (Int(geometry.blockBytes) - head) / (keyBytes + 4)
        guard node.short(4) > 0, node.short(4) <= Self.depthMax else { return }
        for number in 0..<min(node.short(6), most) {
            let child = node.word(head + most * keyBytes + 4 * number)
            try addTree(group, child, keyBytes: keyBytes, depth: depth + 1)
        }
    }

    // MARK: Inodes

    func ranges(of status: FileStatus, _ file: OpenFile?) throws(Errno) -> [Range<UInt64>] {
        let first = status.inode / Self.inodesAChunk * Self.inodesAChunk
        let start = geometry.position(inode: first)
        var found = [start..<start + Self.inodesAChunk * geometry.inodeBytes]
        if let file {
            found += try FileExtents.extents(onXFS: file, of: .attributes).map(\.range)
            if status.kind == .directory { found += try FileExtents.extents(onXFS: file).map(\.range) }
        }
        // A fork in the inode says where the rest is, once it does not fit there any more.
        if [.file, .directory, .symbolicLink].contains(status.kind) {
            let inode = try device.read(at: geometry.position(inode: status.inode), count: Int(geometry.inodeBytes))
            try addFork(DiskBytes(inode, isBigEndian: true), isLink: status.kind == .symbolicLink, to: &found)
        }
        return found
    }

    private func addFork(_ inode: DiskBytes, isLink: Bool, to found: inout [Range<UInt64>]) throws(Errno) {
        guard inode.short(0) == 0x494E else { return }
        let start = inode.byte(4) >= 3 ? 176 : 100
        let bytes = inode.byte(82) > 0 ? inode.byte(82) * 8 : Int(geometry.inodeBytes) - start
        let fork = inode.from(start)
        switch inode.byte(5) {
        case 2 where isLink:
            // Extents of 128 bits: a flag, 54 bits of offset, 52 of block, 21 of length.
            for number in 0..<bytes / 16 {
                let (high, low) = (fork.long(16 * number), fork.long(16 * number + 8))
                let length = low & 0x1F_FFFF
                guard length > 0 else { return }
                let position = geometry.position((high & 0x1FF) << 43 | low >> 21)
                found.append(position..<position + length * geometry.blockBytes)
            }
        case 3:
            let most = (bytes - 4) / 16
            for number in 0..<min(fork.short(2), most) {
                try addNode(fork.long(4 + 8 * most + 8 * number), depth: 0, to: &found)
            }
        default:
            return
        }
    }

    /// A block of the tree that says where a file lies.
    private func addNode(_ block: UInt64, depth: Int, to found: inout [Range<UInt64>]) throws(Errno) {
        guard block > 0, block >> geometry.groupBlockBits < geometry.groups, depth <= Self.depthMax else { return }
        let position = geometry.position(block)
        found.append(position..<position + geometry.blockBytes)
        let node = DiskBytes(try device.read(at: position, count: Int(geometry.blockBytes)), isBigEndian: true)
        guard node.short(4) > 0, node.short(4) <= Self.depthMax else { return }
        let head = geometry.isVersion5 ? 72 : 24
        let most = (Int(geometry.blockBytes) - head) / 16
        for number in 0..<min(node.short(6), most) {
            try addNode(node.long(head + 8 * most + 8 * number), depth: depth + 1, to: &found)
        }
    }
}
