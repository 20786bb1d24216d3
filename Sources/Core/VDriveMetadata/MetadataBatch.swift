internal import VDriveFormat
package import VDriveModel

/// Changes that become durable together, in one LMDB transaction.
package struct MetadataBatch: Sendable {
    /// Records to write; nil forgets the chunk.
    package private(set) var pages: [ChunkIndex: PageRecord?] = [:]
    package var superblock: Superblock?
    /// The disk descriptor's bytes, so that the disk can be served while its remote is away.
    package var descriptor: [UInt8]?
    /// Commits that count, as their objects' bytes.
    package var commits: [ObjectVersion: [UInt8]] = [:]
    /// Forget the commits before this batch's own: a checkpoint took them up.
    package var dropsOldCommits = false
    /// Map nodes as their objects' bytes.
    package var nodes: [NodePlace: [UInt8]] = [:]
    /// Allocation bitmap rows, 512 chunks each.
    package var allocation: [UInt64: [UInt64]] = [:]
    /// Objects that the commit of an epoch made garbage.
    package var garbage: [GarbageRecord] = []
    package var deletedGarbage: [GarbageRecord] = []
    /// Pin rules to keep; nil forgets the rule.
    package private(set) var pins: [PinRuleID: PinRule?] = [:]

    package init() {}

    package mutating func record(_ chunk: ChunkIndex, _ record: PageRecord?) {
        pages.updateValue(record, forKey: chunk)
    }

    package mutating func keep(_ rule: PinRule) { pins.updateValue(rule, forKey: rule.id) }
    package mutating func forget(_ rule: PinRuleID) { pins.updateValue(nil, forKey: rule) }

    package var isEmpty: Bool {
        pages.isEmpty && superblock == nil && descriptor == nil && commits.isEmpty && !dropsOldCommits && nodes.isEmpty
            && allocation.isEmpty
            && garbage.isEmpty && deletedGarbage.isEmpty && pins.isEmpty
    }
}

/// Where a node of the map stands; which version stands there, its bytes say.
package struct NodePlace: Hashable, Sendable {
    package var level: Int
    package var index: UInt64

    package init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }
}

/// An object that no commit from `died` on refers to.
package struct GarbageRecord: Hashable, Sendable {
    package var died: Epoch
    package var name: ObjectName

    package init(died: Epoch, name: ObjectName) {
        self.died = died
        self.name = name
    }

    /// Whether one of these states refers to the object.
    package func isNeeded(by states: [Epoch]) -> Bool {
        let born: Epoch
        switch name.role {
        case .chunk(_, let version), .mapNode(_, _, let version), .commit(let version): born = version.epoch
        default: return false
        }
        return states.contains { born <= $0 && $0 < died }
    }
}
