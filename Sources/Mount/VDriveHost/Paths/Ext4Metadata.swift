import Glibc
import Linux

/// The metadata of ext4, read from its device.
///
/// The kernel keeps ext4's metadata in the device's own page cache, so what is read here is what the mounted filesystem
/// has now, written out or not. The layout is that of the kernel's `Documentation/filesystems/ext4`.
///
/// Copies of the superblock and of the descriptors in other groups are left out: only fsck and a resize read them.
struct Ext4Metadata: FilesystemMetadata {
    private let device: OpenFile
    private let deviceBytes: UInt64
    private let blockBytes: UInt64
    private let firstBlock: UInt64
    private let inodeBytes: UInt64
    private let inodesPerGroup: UInt64
    private let descriptorBytes: Int
    /// Whether the descriptors tell which part of a table was never used.
    private let countsUnused: Bool
    private var descriptors: [UInt8] = []
    private(set) var fixed: [Range<UInt64>] = []

    /// How many blocks of an inode table the kernel reads at once (`inode_readahead_blks`).
    private static let readAheadBlocks: UInt64 = 32
    private static let depthMax = 5

    /// - Parameter isWhole: with all bitmaps, and all inode tables as far as they are used.
    init(devicePath: String, isWhole: Bool) throws(Errno) {
        device = try OpenFile.open(devicePath, flags: O_RDONLY)
        deviceBytes = try device.size()
        let superblock = DiskBytes(try device.preadAll(count: 1024, at: 1024))
        guard superblock.short(0x38) == 0xEF53, superblock.word(0x18) <= 6 else { throw .invalidArgument }
        blockBytes = 1024 << superblock.word(0x18)
        firstBlock = superblock.word(0x14)
        inodesPerGroup = superblock.word(0x28)
        inodeBytes = superblock.word(0x4C) == 0 ? 128 : UInt64(superblock.short(0x58))
        let incompatible = superblock.word(0x60)
        let readOnlyCompatible = superblock.word(0x64)
        let has64Bit = incompatible & 0x80 != 0
        descriptorBytes = has64Bit ? max(32, superblock.short(0xFE)) : 32
        // uninit_bg or metadata_csum.
        countsUnused = readOnlyCompatible & 0x410 != 0
        let blocks = superblock.word(0x04) | (has64Bit ? superblock.word(0x150) << 32 : 0)
        let blocksPerGroup = superblock.word(0x20)
        guard blocksPerGroup > 0, inodesPerGroup > 0, inodeBytes >= 128, blocks > firstBlock,
            blocks * blockBytes <= deviceBytes
        else { throw .invalidArgument }
        let groups = (blocks - firstBlock + blocksPerGroup - 1) / blocksPerGroup
        let layout = DescriptorLayout(
            groups: groups,
            perBlock: blockBytes / UInt64(descriptorBytes),
            firstBlock: firstBlock,
            blocksPerGroup: blocksPerGroup,
            firstMetaGroup: incompatible & 0x10 != 0 ? superblock.word(0x104) : .max,
            hasSparseCopies: readOnlyCompatible & 0x1 != 0
        )
        fixed = [0..<max(2048, blockBytes)]
        for block in layout.blocks {
            fixed.append(range(block, 1))
            descriptors += try device.preadAll(count: Int(blockBytes), at: block * blockBytes)
        }
        if isWhole { for group in 0..<groups { addGroup(group) } }
    }

    /// Where the group descriptors lie.
    private struct DescriptorLayout {
        let groups: UInt64
        let perBlock: UInt64
        let firstBlock: UInt64
        let blocksPerGroup: UInt64
        /// From this block of descriptors on they lie in the groups that they describe (`meta_bg`).
        let firstMetaGroup: UInt64
        let hasSparseCopies: Bool

        var blocks: [UInt64] {
            (0..<(groups + perBlock - 1) / perBlock).map { number in
                guard number >= firstMetaGroup else { return firstBlock + 1 + number }
                let group = number * perBlock
                return firstBlock + group * blocksPerGroup + (hasSuperblock(group) ? 1 : 0)
            }
        }

        private func hasSuperblock(_ group: UInt64) -> Bool {
            if group <= 1 || !hasSparseCopies { return true }
            return [3, 5, 7].contains { (base: UInt64) in
                var power = base
                while power < group { power *= base }
                return power == group
            }
        }
    }

    private func descriptor(_ group: UInt64) -> DiskBytes {
        DiskBytes(descriptors.dropFirst(Int(group) * descriptorBytes).prefix(descriptorBytes))
    }

    private func block(_ descriptor: DiskBytes, low: Int, high: Int) -> UInt64 {
        descriptor.word(low) | (descriptorBytes >= 64 ? descriptor.word(high) << 32 : 0)
    }

    private mutating func addGroup(_ group: UInt64) {
        let descriptor = descriptor(group)
        let flags = descriptor.short(0x12)
        // A bitmap that is not set up is not read.
        if flags & 0x2 == 0 { fixed.append(range(block(descriptor, low: 0x00, high: 0x20), 1)) }
        guard flags & 0x1 == 0 else { return }
        fixed.append(range(block(descriptor, low: 0x04, high: 0x24), 1))
        let unused = UInt64(descriptor.short(0x1C) | (descriptorBytes >= 64 ? descriptor.short(0x32) << 16 : 0))
        let used = inodesPerGroup - min(countsUnused ? unused : 0, inodesPerGroup)
        let perBlock = blockBytes / inodeBytes
        fixed.append(range(block(descriptor, low: 0x08, high: 0x28), (used + perBlock - 1) / perBlock))
    }

    /// Cut at the device's end: whatever a disk says, nothing beyond it is meant.
    private func range(_ block: UInt64, _ count: UInt64) -> Range<UInt64> {
        let start = min(block.multipliedReportingOverflow(by: blockBytes).partialValue, deviceBytes)
        return start..<min(start + count * blockBytes, deviceBytes)
    }

    // MARK: Inodes

    func ranges(of status: FileStatus, _ file: OpenFile?) throws(Errno) -> [Range<UInt64>] {
        let index = (status.inode - 1) % inodesPerGroup
        let table = block(descriptor((status.inode - 1) / inodesPerGroup), low: 0x08, high: 0x28)
        let position = table * blockBytes + index * inodeBytes
        guard table > 0, position + inodeBytes <= deviceBytes else { throw .invalidArgument }
        // As the kernel reads: aligned, without what lies before the table.
        let first = position / blockBytes / Self.readAheadBlocks * Self.readAheadBlocks
        var found = [range(max(first, table), first + Self.readAheadBlocks - max(first, table))]
        let inode = DiskBytes(try device.preadAll(count: Int(inodeBytes), at: position))
        let attributes = inode.word(0x68) | UInt64(inode.short(0x76)) << 32
        if attributes > 0 { found.append(range(attributes, 1)) }
        let flags = inode.word(0x20)
        // Data in the inode itself, or a short link's target in the place of the blocks' numbers.
        let isInline = flags & 0x1000_0000 != 0 || (status.kind == .symbolicLink && status.bytes < 60)
        if !isInline, [.file, .directory, .symbolicLink].contains(status.kind) {
            let map = inode.from(0x28)
            if flags & 0x8_0000 != 0 {
                try addExtents(map, isLink: status.kind == .symbolicLink, depth: 0, to: &found)
            } else {
                if status.kind == .symbolicLink { found.append(range(map.word(0), 1)) }
                for level in 1...3 { try addIndirect(map.word(44 + 4 * level), level: level, to: &found) }
            }
        }
        if status.kind == .directory, let file {
            for extent in try FileExtents.extents(of: file, syncs: false) where extent.hasLocation {
                found.append(extent.physical..<min(extent.physical + extent.length + Self.beyond(extent), deviceBytes))
            }
        }
        return found
    }

    /// What the kernel reads behind a stretch of a directory without being asked: it takes the device for a file, four
    /// pages at first, and as much again as was read, up to the device's read-ahead.
    private static func beyond(_ extent: FileExtents.Extent) -> UInt64 {
        min(max(extent.length, 12 << 10), 4 << 20)
    }

    /// The blocks of an extent tree below a node; of a link also those of its target.
    private func addExtents(
        _ node: DiskBytes,
        isLink: Bool,
        depth: Int,
        to found: inout [Range<UInt64>]
    ) throws(Errno) {
        guard node.short(0) == 0xF30A, depth <= Self.depthMax else { return }
        let levels = node.short(6)
        for number in 0..<min(node.short(2), Int(blockBytes) / 12) {
            let entry = node.from(12 + 12 * number)
            if levels == 0 {
                guard isLink else { return }
                found.append(range(entry.word(8) | UInt64(entry.short(6)) << 32, UInt64(entry.short(4))))
            } else {
                let block = entry.word(4) | UInt64(entry.short(8)) << 32
                found.append(range(block, 1))
                // The lowest blocks of the tree only name data.
                guard levels > 1 || isLink, (block + 1) * blockBytes <= deviceBytes else { continue }
                let bytes = try device.preadAll(count: Int(blockBytes), at: block * blockBytes)
                try addExtents(DiskBytes(bytes), isLink: isLink, depth: depth + 1, to: &found)
            }
        }
    }

    /// A block of block numbers, as files had before there were extents.
    private func addIndirect(_ block: UInt64, level: Int, to found: inout [Range<UInt64>]) throws(Errno) {
        guard block > 0, (block + 1) * blockBytes <= deviceBytes else { return }
        found.append(range(block, 1))
        guard level > 1 else { return }
        let numbers = DiskBytes(try device.preadAll(count: Int(blockBytes), at: block * blockBytes))
        for number in 0..<Int(blockBytes) / 4 {
            try addIndirect(numbers.word(4 * number), level: level - 1, to: &found)
        }
    }
}
