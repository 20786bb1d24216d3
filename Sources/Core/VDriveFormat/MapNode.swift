internal import Codec
package import VDriveModel

/// What an upper map node says of a node below it.
package struct MapChild: Hashable, Sendable {
    package var version: ObjectVersion
    /// The number of allocated chunks below that node.
    package var allocatedChunks: UInt64

    package init(version: ObjectVersion, allocatedChunks: UInt64) {
        self.version = version
        self.allocatedChunks = allocatedChunks
    }
}

/// One node of the map: 512 slots, each empty or an entry. Written at checkpoints, immutable like every object.
package struct MapNode: Hashable, Sendable {
    package enum Slots: Hashable, Sendable {
        /// Level 0: the chunks themselves.
        case chunks([MapEntry?])
        /// Levels above: nodes of the level below.
        case nodes([MapChild?])
    }

    package var level: Int
    package var index: UInt64
    package var version: ObjectVersion
    /// Always `MapShape.slotsPerNode` of them.
    package var slots: Slots

    package init(level: Int, index: UInt64, version: ObjectVersion, slots: Slots) {
        self.level = level
        self.index = index
        self.version = version
        self.slots = slots
    }

    /// A node with nothing in it.
    package static func empty(level: Int, index: UInt64, version: ObjectVersion) -> MapNode {
        let slots: Slots =
            level == 0
            ? .chunks(Array(repeating: nil, count: MapShape.slotsPerNode))
            : .nodes(Array(repeating: nil, count: MapShape.slotsPerNode))
        return MapNode(level: level, index: index, version: version, slots: slots)
    }

    package var name: ObjectName { .mapNode(level: level, index: index, version: version) }

    package var allocatedChunks: UInt64 {
        switch slots {
        case .chunks(let entries): entries.reduce(0) { $0 + ($1 == nil ? 0 : 1) }
        case .nodes(let children): children.reduce(0) { $0 + ($1?.allocatedChunks ?? 0) }
        }
    }

    static let magic = UInt64(littleEndianBytes: "vdrvnod\0")
    package static let formatVersion: UInt16 = 1
    /// The largest entry has a length of 16 bits.
    static let bodyBytesMax = MapShape.slotsPerNode * (2 + 2 + 65535)

    /// Offsets in bytes, little-endian fields. Protocol/FORMAT.md holds the same table.
    enum Offset {
        static let magic = 0
        static let formatVersion = 8
        static let level = 10
        static let entryCount = 12
        static let disk = 16
        static let index = 32
        static let term = 40
        static let epoch = 48
        static let rawBytes = 56
        static let compressedBytes = 60
        static let body = 64
    }

    /// - Precondition: 512 slots, of the kind that belongs to the level.
    package func encode(disk: DiskID) -> [UInt8] {
        var body = ByteWriter()
        var count: UInt16 = 0
        switch slots {
        case .chunks(let entries):
            precondition(level == 0 && entries.count == MapShape.slotsPerNode)
            for (slot, entry) in entries.enumerated() {
                guard let entry else { continue }
                body.integer(UInt16(slot))
                MapEntryFields.encode(entry, into: &body)
                count += 1
            }
        case .nodes(let children):
            precondition((1...255).contains(level) && children.count == MapShape.slotsPerNode)
            for (slot, child) in children.enumerated() {
                guard let child else { continue }
                body.integer(UInt16(slot))
                body.version(child.version)
                body.integer(child.allocatedChunks)
                count += 1
            }
        }
        var writer = ByteWriter()
        writer.integer(Self.magic)
        writer.integer(Self.formatVersion)
        writer.integer(UInt8(level))
        writer.zeros(Offset.entryCount - Offset.level - 1)
        writer.integer(count)
        writer.zeros(Offset.disk - Offset.entryCount - 2)
        writer.disk(disk)
        writer.integer(index)
        writer.version(version)
        return SealedBody.seal(body.bytes, onto: &writer)
    }

    /// Reads a node, and checks that it is the one asked for.
    package static func decode(
        _ bytes: [UInt8],
        disk: DiskID,
        level: Int,
        index: UInt64,
        version: ObjectVersion,
        geometry: DiskGeometry
    ) throws(FormatError) -> MapNode {
        let part = FormatPart.mapNode
        var reader = try SealedBody.open(
            bytes,
            part: part,
            magic: magic,
            formatVersion: formatVersion,
            headBytes: Offset.body
        )
        let foundLevel: UInt8 = try reader.integer()
        try reader.zeros(Offset.entryCount - Offset.level - 1)
        let count: UInt16 = try reader.integer()
        try reader.zeros(Offset.disk - Offset.entryCount - 2)
        let foundDisk = try reader.disk()
        guard foundDisk == disk else { throw .wrongDisk(part, found: foundDisk) }
        let foundIndex: UInt64 = try reader.integer()
        let foundVersion = try reader.version()
        let fields: [(String, UInt64, UInt64)] = [
            ("level", UInt64(foundLevel), UInt64(level)),
            ("index", foundIndex, index),
            ("term", foundVersion.term.rawValue, version.term.rawValue),
            ("epoch", foundVersion.epoch.rawValue, version.epoch.rawValue),
        ]
        for (field, found, expected) in fields where found != expected {
            throw .wrongObject(part, field: field, found: found, expected: expected)
        }
        var body = try SealedBody.body(&reader, bytesMax: bodyBytesMax)
        var node = MapNode.empty(level: level, index: index, version: version)
        try node.fill(from: &body, count: Int(count), geometry: geometry)
        return node
    }

    private mutating func fill(
        from body: inout ByteReader,
        count: Int,
        geometry: DiskGeometry
    ) throws(FormatError) {
        var entries: [MapEntry?] = Array(repeating: nil, count: MapShape.slotsPerNode)
        var children: [MapChild?] = entries.map { _ in nil }
        var slotMin = 0
        for _ in 0..<count {
            let slot = Int(try body.integer(UInt16.self))
            guard (slotMin..<MapShape.slotsPerNode).contains(slot) else {
                throw .malformed(body.part, "slot \(slot) is out of order or out of range")
            }
            slotMin = slot + 1
            if level == 0 {
                guard let entry = try MapEntryFields.decode(&body, geometry: geometry) else {
                    throw .malformed(body.part, "slot \(slot) is empty")
                }
                entries[slot] = entry
            } else {
                children[slot] = MapChild(version: try body.version(), allocatedChunks: try body.integer())
            }
        }
        try body.finish()
        slots = level == 0 ? .chunks(entries) : .nodes(children)
    }
}
