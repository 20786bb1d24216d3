internal import VDriveFormat
internal import VDriveModel

/// A node of the map that somebody has to load.
struct NodeReference: Hashable, Sendable {
    var level: Int
    var index: UInt64
    var version: ObjectVersion

    var name: ObjectName { .mapNode(level: level, index: index, version: version) }
}

/// The map as known here: the last checkpoint's tree, and the changes of the commits since. A value without I/O.
///
/// Nodes come from outside (`node(_:)`); where one is not to be had, the question ends with `NeedsNode`.
struct MapState {
    /// The question cannot be answered before this node is loaded.
    struct NeedsNode: Error {
        var reference: NodeReference
    }

    let shape: MapShape
    private(set) var checkpoint: Checkpoint?
    /// Entries that commits since the checkpoint changed; nil inside is a trimmed chunk.
    private(set) var changes: [ChunkIndex: MapEntry?] = [:]
    /// Those of `changes` that have an object, in order.
    private var sortedAllocated: [ChunkIndex] = []
    private(set) var commitsSinceCheckpoint = 0

    init(shape: MapShape) { self.shape = shape }

    typealias Source = (NodeReference) throws(NeedsNode) -> MapNode

    /// Takes up one commit, in order. One with a checkpoint of its own epoch replaces the tree.
    mutating func apply(_ commit: CommitRecord) {
        commitsSinceCheckpoint += 1
        if let new = commit.checkpoint, new != checkpoint {
            checkpoint = new
            // A checkpoint holds its own commit's entries too.
            changes = [:]
            commitsSinceCheckpoint = 0
            if new.epoch == commit.version.epoch {
                sortedAllocated = []
                return
            }
        }
        for change in commit.entries { changes.updateValue(change.entry, forKey: change.chunk) }
        sortedAllocated = changes.filter { $0.value != nil }.keys.sorted()
    }

    func entry(of chunk: ChunkIndex, _ node: Source) throws(NeedsNode) -> MapEntry? {
        if let change = changes[chunk] { return change }
        return try entryInTree(of: chunk, node)
    }

    private func entryInTree(of chunk: ChunkIndex, _ node: Source) throws(NeedsNode) -> MapEntry? {
        guard let checkpoint, shape.nodeIndex(of: chunk, level: checkpoint.levels - 1) == 0 else { return nil }
        var version = checkpoint.root
        var level = checkpoint.levels - 1
        while true {
            let index = shape.nodeIndex(of: chunk, level: level)
            let slot = shape.slot(of: chunk, level: level)
            switch try node(NodeReference(level: level, index: index, version: version)).slots {
            case .chunks(let entries): return entries[slot]
            case .nodes(let children):
                guard let child = children[slot] else { return nil }
                version = child.version
                level -= 1
            }
        }
    }

    /// The first chunk of a stretch that has an object. Nodes beyond the stretch are not asked for.
    func firstAllocated(in stretch: Range<ChunkIndex>, _ node: Source) throws(NeedsNode) -> ChunkIndex? {
        let changed = firstChangedAllocated(in: stretch)
        guard let checkpoint else { return changed }
        let root = NodeReference(level: checkpoint.levels - 1, index: 0, version: checkpoint.root)
        let end = changed ?? stretch.upperBound
        guard stretch.lowerBound < end else { return changed }
        return try firstInTree(root, stretch.lowerBound.rawValue..<end.rawValue, node) ?? changed
    }

    private func firstChangedAllocated(in stretch: Range<ChunkIndex>) -> ChunkIndex? {
        var low = 0
        var high = sortedAllocated.count
        while low < high {
            let middle = (low + high) / 2
            if sortedAllocated[middle] < stretch.lowerBound { low = middle + 1 } else { high = middle }
        }
        guard low < sortedAllocated.count, sortedAllocated[low] < stretch.upperBound else { return nil }
        return sortedAllocated[low]
    }

    private func firstInTree(_ reference: NodeReference, _ stretch: Range<UInt64>, _ node: Source) throws(NeedsNode)
        -> ChunkIndex?
    {
        let covered = shape.chunks(ofNode: reference.index, level: reference.level)
        guard covered.overlaps(stretch) else { return nil }
        let first = shape.slot(
            of: ChunkIndex(max(stretch.lowerBound, covered.lowerBound)),
            level: reference.level
        )
        switch try node(reference).slots {
        case .chunks(let entries):
            for slot in first..<MapShape.slotsPerNode where entries[slot] != nil {
                let chunk = ChunkIndex(covered.lowerBound + UInt64(slot))
                if chunk.rawValue >= stretch.upperBound { return nil }
                if changes[chunk] == nil { return chunk }
            }
        case .nodes(let children):
            for slot in first..<MapShape.slotsPerNode {
                guard let child = children[slot] else { continue }
                let below = NodeReference(
                    level: reference.level - 1,
                    index: reference.index * UInt64(MapShape.slotsPerNode) + UInt64(slot),
                    version: child.version
                )
                if let found = try firstInTree(below, stretch, node) { return found }
            }
        }
        return nil
    }

    // MARK: Checkpoints

    struct CheckpointNodes: Sendable {
        var checkpoint: Checkpoint
        var nodes: [MapNode] = []
        /// Nodes that the new ones replace.
        var replaced: [NodeReference] = []
    }

    /// The nodes that a checkpoint at `version` writes: the changed leaves and their paths to the root.
    ///
    /// - Parameter entries: the changes of the commit that carries the checkpoint.
    func checkpointNodes(
        at version: ObjectVersion,
        with entries: [CommitEntry],
        _ node: Source
    ) throws(NeedsNode) -> CheckpointNodes {
        var merged = changes
        for entry in entries { merged.updateValue(entry.entry, forKey: entry.chunk) }
        var result = CheckpointNodes(
            checkpoint: Checkpoint(root: version, levels: shape.levels, epoch: version.epoch)
        )
        var changed: [UInt64: MapChild?] = [:]
        let byLeaf = Dictionary(grouping: merged.keys) { shape.nodeIndex(of: $0, level: 0) }
        for (index, chunks) in byLeaf {
            var leaf = try old(level: 0, index: index, version, node, &result)
            guard case .chunks(var slots) = leaf.slots else { continue }
            for chunk in chunks { slots[shape.slot(of: chunk, level: 0)] = merged[chunk]! }
            leaf.slots = .chunks(slots)
            add(leaf, &result, &changed)
        }
        for level in stride(from: 1, through: shape.rootLevel, by: 1) {
            var above: [UInt64: MapChild?] = [:]
            var byParent = Dictionary(grouping: changed.keys) { shape.parent(ofNode: $0).index }
            if level == shape.rootLevel, byParent.isEmpty { byParent[0] = [] }
            for (index, children) in byParent {
                var parent = try old(level: level, index: index, version, node, &result)
                guard case .nodes(var slots) = parent.slots else { continue }
                for child in children { slots[shape.parent(ofNode: child).slot] = changed[child]! }
                parent.slots = .nodes(slots)
                add(parent, &result, &above)
            }
            changed = above
        }
        if shape.rootLevel == 0, byLeaf.isEmpty {
            add(try old(level: 0, index: 0, version, node, &result), &result, &changed)
        }
        return result
    }

    /// The node that stands there now, under its new version; empty where there is none.
    private func old(
        level: Int,
        index: UInt64,
        _ version: ObjectVersion,
        _ node: Source,
        _ result: inout CheckpointNodes
    ) throws(NeedsNode) -> MapNode {
        guard let reference = try reference(level: level, index: index, node) else {
            return .empty(level: level, index: index, version: version)
        }
        var copy = try node(reference)
        copy.version = version
        result.replaced.append(reference)
        return copy
    }

    /// An empty node is left out, but for the root.
    private func add(_ node: MapNode, _ result: inout CheckpointNodes, _ changed: inout [UInt64: MapChild?]) {
        let count = node.allocatedChunks
        if count == 0, node.level != shape.rootLevel {
            changed.updateValue(nil, forKey: node.index)
        } else {
            changed.updateValue(MapChild(version: node.version, allocatedChunks: count), forKey: node.index)
            result.nodes.append(node)
        }
    }

    /// Whether the tree holds a node in this version; false also where the way to it is not known here.
    func refers(to reference: NodeReference, _ node: Source) -> Bool {
        (try? self.reference(level: reference.level, index: reference.index, node)) == reference
    }

    /// Which version of a node the tree refers to.
    private func reference(level: Int, index: UInt64, _ node: Source) throws(NeedsNode) -> NodeReference? {
        guard let checkpoint, level <= checkpoint.levels - 1 else { return nil }
        var at = NodeReference(level: checkpoint.levels - 1, index: 0, version: checkpoint.root)
        while at.level > level {
            let shift = UInt64(at.level - 1 - level) * 9
            let childIndex = index >> shift
            guard case .nodes(let children) = try node(at).slots,
                let child = children[shape.parent(ofNode: childIndex).slot]
            else { return nil }
            at = NodeReference(level: at.level - 1, index: childIndex, version: child.version)
        }
        return at
    }
}
