internal import Linux
internal import VDriveDataPlane
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel

/// The metadata of one disk: LMDB, the allocation bitmap, the map as known here. On a thread of its own, since LMDB
/// blocks.
///
/// It knows no remote: where a node of the map is not here, the answer says which one is needed, and the caller
/// installs it.
actor BitmapActor {
    private nonisolated let executor: ThreadExecutor
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let id: DiskID
    let geometry: DiskGeometry
    private var store: MetadataStore?
    private var map: MapState
    private var superblock: Superblock?
    private var nodes: [NodePlace: (node: MapNode, lastUse: UInt64)] = [:]
    private var uses: UInt64 = 0
    /// Nodes, allocation rows and commits that the next transaction writes; a cold read must not pay an fsync for each.
    private var pending = MetadataBatch()
    /// Chunks that the head commit counts.
    private(set) var allocatedChunks: UInt64 = 0

    init(executor: ThreadExecutor, id: DiskID, geometry: DiskGeometry) {
        self.executor = executor
        self.id = id
        self.geometry = geometry
        map = MapState(shape: MapShape(geometry))
    }

    // MARK: Opening

    /// Opens the environment and reads the superblock.
    ///
    /// - Returns: nil when this machine does not know the disk yet.
    func open(directory: String) throws(DiskError) -> Superblock? {
        let opened = try metadata { () throws(MetadataError) in try MetadataStore(directory: directory) }
        store = opened
        let found = try metadata { () throws(MetadataError) in try opened.superblock() }
        if let found, found.id != id {
            throw DiskError(
                .refused,
                "The state in \(directory) belongs to another disk, \(found.id); give this one a state of its own."
            )
        }
        superblock = found
        return found
    }

    /// Throws damaged metadata away and begins anew. What it described is given up by who calls this.
    func startOver(directory: String) throws(DiskError) {
        close()
        do throws(Errno) {
            for name in MetadataStore.fileNames where Directory.exists("\(directory)/\(name)") {
                try Directory.removeFile("\(directory)/\(name)")
            }
        } catch {
            throw DiskError(.configuration, "The metadata in \(directory) cannot be replaced: \(error).")
        }
        _ = try open(directory: directory)
    }

    /// The thread must go on until this has returned.
    func close() {
        store?.close()
        store = nil
    }

    func reset() throws(DiskError) {
        // Of what another machine has written no row is known, even on the machine that made the disk.
        superblock?.allocationIsComplete = false
        let superblock = superblock
        try metadata { () throws(MetadataError) in try opened.reset(keeping: superblock) }
        nodes = [:]
        pending = MetadataBatch()
    }

    /// The commits since the last checkpoint that this machine knows, in order.
    func knownCommits() throws(DiskError) -> [CommitRecord] {
        var records: [CommitRecord] = []
        for (version, bytes) in try metadata({ () throws(MetadataError) in try opened.commits() }) {
            do throws(FormatError) {
                records.append(
                    try CommitRecord.decode(bytes, disk: id, version: version, chunkBytes: geometry.chunkBytes)
                )
            } catch {
                throw DiskError(.corrupt, error.description)
            }
        }
        return records
    }

    /// Takes the head's state up from the commits since (and with) its checkpoint, in order.
    ///
    /// The last of them may be one of ours that landed before LMDB learned of it: what it changes is noted with the
    /// next transaction.
    func adopt(_ commits: [CommitRecord]) throws(DiskError) {
        map = MapState(shape: MapShape(geometry))
        for commit in commits {
            map.apply(commit)
            pending.allocation.merge(try allocation(after: commit)) { _, new in new }
            pending.commits[commit.version] = commit.encode(disk: id)
        }
        allocatedChunks = commits.last?.allocatedChunks ?? 0
    }

    /// The allocation rows that a commit changes. A row of which nothing is known stays unknown.
    private func allocation(after commit: CommitRecord) throws(DiskError) -> [UInt64: [UInt64]] {
        var rows: [UInt64: [UInt64]] = [:]
        for change in commit.entries {
            let row = change.chunk.rawValue / 512
            var known = rows[row]
            if known == nil { known = try allocationRow(row) }
            guard var words = known else { continue }
            let bit = UInt64(1) << (change.chunk.rawValue % 64)
            let word = Int(change.chunk.rawValue / 64 % 8)
            if change.entry == nil { words[word] &= ~bit } else { words[word] |= bit }
            rows[row] = words
        }
        return rows
    }

    func pageRecords() throws(DiskError) -> [(ChunkIndex, PageRecord)] {
        try metadata { () throws(MetadataError) in try opened.pages() }
    }

    // MARK: The map

    enum Lookup: Sendable {
        case found(MapEntry?)
        case needs(NodeReference)
    }

    func lookup(_ chunk: ChunkIndex) throws(DiskError) -> Lookup {
        if map.changes[chunk] == nil, let row = try allocationRow(chunk.rawValue / 512),
            row[Int(chunk.rawValue / 64 % 8)] >> (chunk.rawValue % 64) & 1 == 0
        {
            return .found(nil)
        }
        return try asking { (node) throws(MapState.NeedsNode) in .found(try map.entry(of: chunk, node)) }
    }

    /// What can be said of a chunk without the network.
    enum LocalEntry: Sendable, Equatable {
        case unallocated
        case allocated
        case unknown
    }

    func localEntry(of chunk: ChunkIndex) -> LocalEntry {
        guard let lookup = try? lookup(chunk), case .found(let entry) = lookup else { return .unknown }
        return entry == nil ? .unallocated : .allocated
    }

    enum Search: Sendable {
        case found([ChunkIndex])
        case needs(NodeReference)
    }

    /// The chunks of a stretch that have an object, in order: the first `limit` of them.
    func allocated(in stretch: Range<ChunkIndex>, limit: Int) -> Search {
        var found: [ChunkIndex] = []
        var next = stretch.lowerBound
        do throws(MapState.NeedsNode) {
            while found.count < limit, next < stretch.upperBound {
                let rest = next..<stretch.upperBound
                let chunk = try map.firstAllocated(in: rest) { (reference) throws(MapState.NeedsNode) in
                    try node(reference)
                }
                guard let chunk else { break }
                found.append(chunk)
                next = ChunkIndex(chunk.rawValue + 1)
            }
            return .found(found)
        } catch {
            return .needs(error.reference)
        }
    }

    private func asking(
        _ question: (MapState.Source) throws(MapState.NeedsNode) -> Lookup
    ) throws(DiskError) -> Lookup {
        do throws(MapState.NeedsNode) {
            return try question { (reference) throws(MapState.NeedsNode) in try node(reference) }
        } catch {
            return .needs(error.reference)
        }
    }

    /// A node from memory or LMDB, if it is there in the version asked for.
    private func node(_ reference: NodeReference) throws(MapState.NeedsNode) -> MapNode {
        let place = NodePlace(level: reference.level, index: reference.index)
        uses += 1
        if let known = nodes[place], known.node.version == reference.version {
            nodes[place]!.lastUse = uses
            return known.node
        }
        let stored = pending.nodes[place] ?? (try? opened.node(place)) ?? nil
        guard let stored, let node = try? decode(stored, reference) else {
            throw MapState.NeedsNode(reference: reference)
        }
        remember(node)
        return node
    }

    private func decode(_ bytes: [UInt8], _ reference: NodeReference) throws(FormatError) -> MapNode {
        try MapNode.decode(
            bytes,
            disk: id,
            level: reference.level,
            index: reference.index,
            version: reference.version,
            geometry: geometry
        )
    }

    private func remember(_ node: MapNode) {
        if nodes.count >= EngineLimits.nodesInMemory {
            let oldest = nodes.sorted { $0.value.lastUse < $1.value.lastUse }.prefix(nodes.count / 4)
            for (place, _) in oldest { nodes[place] = nil }
        }
        nodes[NodePlace(level: node.level, index: node.index)] = (node, uses)
    }

    /// Takes up a node that was fetched and found to be the one.
    ///
    /// - Parameter bytes: the object that the node was decoded from.
    func install(_ node: MapNode, _ bytes: [UInt8]) throws(DiskError) {
        remember(node)
        let reference = NodeReference(level: node.level, index: node.index, version: node.version)
        // A checkpoint may have replaced it while it was fetched: beside the new tree its entries say nothing.
        guard map.refers(to: reference, { (above) throws(MapState.NeedsNode) in try self.node(above) }) else { return }
        pending.nodes[NodePlace(level: node.level, index: node.index)] = bytes
        if case .chunks(let entries) = node.slots { pending.allocation[node.index] = row(of: node.index, entries) }
        guard pending.nodes.count > EngineLimits.nodesInMemory else { return }
        do throws(DiskError) {
            try applyPending(MetadataBatch())
        } catch  where error.kind == .outOfSpace {
            // A reader must not fail for it: the next transaction takes them along.
        }
    }

    /// The allocation row of a leaf: the tree's entries under the changes since.
    private func row(of index: UInt64, _ entries: [MapEntry?]) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: 8)
        for (slot, entry) in entries.enumerated() {
            let change = map.changes[ChunkIndex(index * 512 + UInt64(slot))]
            if change.map({ $0 != nil }) ?? (entry != nil) { words[slot / 64] |= 1 << UInt64(slot % 64) }
        }
        return words
    }

    /// - Returns: nil when nothing is known of these 512 chunks.
    private func allocationRow(_ row: UInt64) throws(DiskError) -> [UInt64]? {
        if let words = pending.allocation[row] { return words }
        if let stored = try metadata({ () throws(MetadataError) in try opened.allocationRow(row) }) { return stored }
        return superblock?.allocationIsComplete == true ? [UInt64](repeating: 0, count: 8) : nil
    }

    // MARK: Changes

    enum CheckpointPlan: Sendable {
        case needs(NodeReference)
        case nodes(MapState.CheckpointNodes)
    }

    var isCheckpointDue: Bool {
        map.commitsSinceCheckpoint + 1 >= EngineLimits.commitsPerCheckpoint
            || map.changes.count >= EngineLimits.entriesPerCheckpoint
    }

    func planCheckpoint(at version: ObjectVersion, with entries: [CommitEntry]) -> CheckpointPlan {
        do throws(MapState.NeedsNode) {
            return .nodes(
                try map.checkpointNodes(at: version, with: entries) { (reference) throws(MapState.NeedsNode) in
                    try node(reference)
                }
            )
        } catch {
            return .needs(error.reference)
        }
    }

    /// Ordering rule 1: a commit that records pages comes after an fdatasync of their bytes, and the receipt proves it.
    func apply(_ batch: MetadataBatch, after receipt: DataSyncReceipt) throws(DiskError) {
        try applyPending(batch)
    }

    /// Ordering rule 2: records are taken away durably before their holes are punched. Removals need no fdatasync.
    ///
    /// - Parameters:
    ///   - chunks: forgotten whole.
    ///   - pages: clean pages to forget of other chunks. What is recorded of them beside these pages stays as it is:
    ///     pages that came since may have seen no fdatasync yet (rule 3).
    func forget(_ chunks: [ChunkIndex], pages: [ChunkIndex: PageSet] = [:]) throws(DiskError) {
        var batch = MetadataBatch()
        for chunk in chunks { batch.record(chunk, nil) }
        for (chunk, leaving) in pages {
            guard var record = try metadata({ () throws(MetadataError) in try opened.page(chunk) }) else { continue }
            precondition(record.dirty.intersection(leaving).isEmpty, "a dirty page of \(chunk) is to be forgotten")
            record.present = record.present.subtracting(leaving)
            batch.record(chunk, record.present.isEmpty && !record.isDirty ? nil : record)
        }
        try applyPending(batch)
    }

    /// The rules that say what stays in the cache, by their creation.
    func pinRules() throws(DiskError) -> [PinRule] {
        try metadata { () throws(MetadataError) in try opened.pins() }
            .sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }

    /// Records what touches no pages.
    func note(_ batch: MetadataBatch) throws(DiskError) {
        precondition(batch.pages.isEmpty, "page records need a receipt")
        try applyPending(batch)
    }

    private func applyPending(_ batch: MetadataBatch) throws(DiskError) {
        var batch = batch
        batch.nodes.merge(pending.nodes) { own, _ in own }
        batch.allocation.merge(pending.allocation) { own, _ in own }
        if !batch.dropsOldCommits { batch.commits.merge(pending.commits) { own, _ in own } }
        guard !batch.isEmpty else { return }
        let whole = batch
        try metadata { () throws(MetadataError) in try opened.apply(whole) }
        pending = MetadataBatch()
        if let superblock = batch.superblock { self.superblock = superblock }
    }

    /// Fills a batch with what a commit that counts changes in the metadata.
    func prepare(
        _ commit: CommitRecord,
        checkpoint: MapState.CheckpointNodes?,
        garbage: [ObjectName],
        superblock: Superblock
    ) throws(DiskError) -> MetadataBatch {
        var batch = MetadataBatch()
        batch.superblock = superblock
        batch.commits[commit.version] = commit.encode(disk: id)
        batch.dropsOldCommits = checkpoint != nil
        for node in checkpoint?.nodes ?? [] {
            batch.nodes[NodePlace(level: node.level, index: node.index)] = node.encode(disk: id)
        }
        batch.allocation = try allocation(after: commit)
        batch.garbage = garbage.map { GarbageRecord(died: commit.version.epoch, name: $0) }
        return batch
    }

    /// The commit is recorded: the map goes on from it.
    func committed(_ commit: CommitRecord, checkpoint: MapState.CheckpointNodes?) throws(DiskError) {
        for node in checkpoint?.nodes ?? [] { remember(node) }
        map.apply(commit)
        // Rows that became known since `prepare` came from the map before this commit.
        pending.allocation.merge(try allocation(after: commit)) { _, new in new }
        allocatedChunks = commit.allocatedChunks
    }

    /// - Parameter now: seconds since 1970; states that are kept until later are spared.
    func garbage(diedBy epoch: Epoch, limit: Int, now: UInt64) throws(DiskError) -> [GarbageRecord] {
        let kept = (superblock?.kept ?? []).filter { $0.until > now }.map(\.epoch)
        return try metadata { () throws(MetadataError) in
            try opened.garbage(diedBy: epoch, keeping: kept, limit: limit)
        }
    }

    /// The end of this attachment.
    ///
    /// - Parameters:
    ///   - isClean: everything is recorded: the next start need not check anything (ordering rule 3).
    ///   - isReleased: the term was given back; nil leaves what is noted of it.
    func noteStop(isClean: Bool, isReleased: Bool?) throws(DiskError) {
        guard var superblock else { return }
        superblock.isClean = isClean
        if let isReleased { superblock.isReleased = isReleased }
        var batch = MetadataBatch()
        batch.superblock = superblock
        try applyPending(batch)
    }

    /// The term was given back before anything was served.
    func noteRelease() throws(DiskError) { try noteStop(isClean: superblock?.isClean ?? false, isReleased: true) }

    /// Counts LMDB's commits, for tests of what a flush costs.
    var lastTransaction: Int { opened.lastTransaction }

    // MARK: Helpers

    private var opened: MetadataStore {
        guard let store else { preconditionFailure("the metadata is not open") }
        return store
    }

    private func metadata<Value>(_ body: () throws(MetadataError) -> Value) throws(DiskError) -> Value {
        do throws(MetadataError) { return try body() } catch {
            if case .noSpace = error { throw DiskError(.outOfSpace, error.description) }
            throw DiskError(error.isDamage ? .corrupt : .internal, error.description)
        }
    }
}
