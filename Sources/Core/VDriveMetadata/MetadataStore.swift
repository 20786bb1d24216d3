internal import LMDB
package import VDriveFormat
package import VDriveModel

/// Why local metadata could not be read or written.
package enum MetadataError: Error, Sendable, CustomStringConvertible {
    case database(String)
    /// The filesystem has no room for the change; nothing of it was done.
    case noSpace(String)
    /// The file is no LMDB file, or a page of it is wrong.
    case damaged(String)
    case format(FormatError)

    package var description: String {
        switch self {
        case .database(let text): "The local metadata failed: \(text)."
        case .noSpace(let text): "The local metadata found no space: \(text)."
        case .damaged(let text): "The local metadata is damaged: \(text)."
        case .format(let error): "The local metadata is damaged: \(error)"
        }
    }

    init(_ error: LMDBError) {
        if error.isDamage {
            self = .damaged("\(error)")
        } else {
            self = error == .noSpace || error == .quotaExceeded ? .noSpace("\(error)") : .database("\(error)")
        }
    }

    /// Whether only a new beginning helps.
    package var isDamage: Bool {
        switch self {
        case .database, .noSpace: false
        case .damaged, .format: true
        }
    }
}

/// One disk's LMDB environment: the schema, and nothing that decides.
///
/// Every change is one transaction, always synced (NOSYNC can lose the file in a power cut). All calls block; they
/// belong to BitmapActor's thread.
///
///     database    key                          value
///     meta        "superblock"                 Superblock
///     meta        "descriptor"                 vdrive.json's bytes
///     pages       chunk (8, big-endian)        PageRecord
///     commits     term, epoch (8 + 8)          the commit object's bytes; those since the last checkpoint
///     nodes       level (1), index (8)         the map node object's bytes
///     allocation  chunk / 512 (8)              8 words, little-endian, a bit a chunk that the map holds
///     garbage     died epoch (8), name         nothing
///     pins        rule (8)                     PinRule
///
/// A database that is missing, because an older release made the environment, is made when it is opened.
package final class MetadataStore {
    private let environment: Environment
    private static let names = ["meta", "pages", "commits", "nodes", "allocation", "garbage", "pins"]
    private let databases: [String: Database]
    /// Address space to begin with; it doubles when it is full.
    private static let mapBytes = 1 << 30

    /// - Parameter directory: exists.
    package init(directory: String) throws(MetadataError) {
        do throws(LMDBError) {
            environment = try Environment(
                path: directory,
                mapBytes: Self.mapBytes,
                maxDatabases: Self.names.count,
                flags: [.noReadAhead]
            )
            let transaction = try environment.write()
            var databases: [String: Database] = [:]
            for name in Self.names { databases[name] = try transaction.database(name) }
            try transaction.commit()
            self.databases = databases
        } catch {
            throw MetadataError(error)
        }
    }

    package func close() { environment.close() }

    /// Counts the commits of this environment, ever.
    package var lastTransaction: Int { environment.lastTransaction }

    // MARK: Reading

    package func superblock() throws(MetadataError) -> Superblock? {
        guard let bytes = try value(in: "meta", Self.superblockKey) else { return nil }
        return try decoded { () throws(FormatError) in try Superblock(decoding: bytes) }
    }

    /// The disk descriptor as the remote had it at the last attach.
    package func descriptor() throws(MetadataError) -> DiskDescriptor? {
        guard let bytes = try value(in: "meta", Self.descriptorKey) else { return nil }
        return try decoded { () throws(FormatError) in try DiskDescriptor.decode(bytes) }
    }

    package func page(_ chunk: ChunkIndex) throws(MetadataError) -> PageRecord? {
        guard let bytes = try value(in: "pages", Self.key(chunk.rawValue)) else { return nil }
        return try decoded { () throws(FormatError) in try PageRecord(decoding: bytes) }
    }

    /// Every chunk with a record, in order.
    package func pages() throws(MetadataError) -> [(ChunkIndex, PageRecord)] {
        var records: [(ChunkIndex, PageRecord)] = []
        for (key, value) in try rows(of: "pages") {
            let record = try decoded { () throws(FormatError) in try PageRecord(decoding: value) }
            records.append((ChunkIndex(Self.number(key[0..<8])), record))
        }
        return records
    }

    /// The commits since the last checkpoint, in order.
    package func commits() throws(MetadataError) -> [(version: ObjectVersion, bytes: [UInt8])] {
        try rows(of: "commits").map { key, value in
            let version = ObjectVersion(
                term: Term(Self.number(key[0..<8])),
                epoch: Epoch(Self.number(key[8..<16]))
            )
            return (version, value)
        }
    }

    package func node(_ place: NodePlace) throws(MetadataError) -> [UInt8]? {
        try value(in: "nodes", Self.key(place))
    }

    package func allocationRow(_ row: UInt64) throws(MetadataError) -> [UInt64]? {
        guard let bytes = try value(in: "allocation", Self.key(row)), bytes.count == 64 else { return nil }
        return bytes.withUnsafeBytes { raw in
            (0..<8).map { UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
    }

    /// Garbage that died at or before an epoch, and that no kept state refers to.
    ///
    /// - Parameter kept: an object born in b is needed by every state s with b ≤ s < its death.
    package func garbage(diedBy epoch: Epoch, keeping kept: [Epoch], limit: Int) throws(MetadataError)
        -> [GarbageRecord]
    {
        var records: [GarbageRecord] = []
        do throws(LMDBError) {
            let transaction = try environment.read()
            let end = Self.key(epoch.rawValue &+ 1)
            try transaction.forEach(in: databases["garbage"]!, until: end) { key, _ in
                let path = String(decoding: key.dropFirst(8), as: UTF8.self)
                guard ObjectName.isValid(path) else { return true }
                let record = GarbageRecord(died: Epoch(Self.number(Array(key)[0..<8])), name: ObjectName(path))
                if !record.isNeeded(by: kept) { records.append(record) }
                return records.count < limit
            }
        } catch {
            throw MetadataError(error)
        }
        return records
    }

    /// Every pin rule, by its id.
    package func pins() throws(MetadataError) -> [PinRule] {
        var rules: [PinRule] = []
        for (key, value) in try rows(of: "pins") {
            let id = PinRuleID(Self.number(key[0..<8]))
            rules.append(try decoded { () throws(FormatError) in try PinRule(id: id, decoding: value) })
        }
        return rules
    }

    // MARK: Writing

    /// Makes a batch durable, all of it or nothing.
    package func apply(_ batch: MetadataBatch) throws(MetadataError) {
        while true {
            do throws(LMDBError) {
                try attempt(batch)
                return
            } catch .mapFull {
                do throws(LMDBError) { try environment.grow(to: environment.mapBytes * 2) } catch {
                    throw MetadataError(error)
                }
            } catch {
                throw MetadataError(error)
            }
        }
    }

    private func attempt(_ batch: MetadataBatch) throws(LMDBError) {
        let transaction = try environment.write()
        for (chunk, record) in batch.pages.sorted(by: { $0.key < $1.key }) {
            let key = Self.key(chunk.rawValue)
            if let record {
                try transaction.put(key, record.encoded, in: databases["pages"]!)
            } else {
                try transaction.delete(key, in: databases["pages"]!)
            }
        }
        if let superblock = batch.superblock {
            try transaction.put(Self.superblockKey, superblock.encoded, in: databases["meta"]!)
        }
        if let bytes = batch.descriptor {
            try transaction.put(Self.descriptorKey, bytes, in: databases["meta"]!)
        }
        if batch.dropsOldCommits { try transaction.clear(databases["commits"]!) }
        for (version, bytes) in batch.commits {
            let key = Self.key(version.term.rawValue) + Self.key(version.epoch.rawValue)
            try transaction.put(key, bytes, in: databases["commits"]!)
        }
        for (place, bytes) in batch.nodes { try transaction.put(Self.key(place), bytes, in: databases["nodes"]!) }
        for (row, words) in batch.allocation {
            var writer = ByteWriter()
            for word in words { writer.integer(word) }
            try transaction.put(Self.key(row), writer.bytes, in: databases["allocation"]!)
        }
        for record in batch.garbage { try transaction.put(Self.key(record), [], in: databases["garbage"]!) }
        for record in batch.deletedGarbage { try transaction.delete(Self.key(record), in: databases["garbage"]!) }
        for (id, rule) in batch.pins {
            if let rule {
                try transaction.put(Self.key(id.rawValue), rule.encoded, in: databases["pins"]!)
            } else {
                try transaction.delete(Self.key(id.rawValue), in: databases["pins"]!)
            }
        }
        try transaction.commit()
    }

    /// The names of LMDB's files, for who has to begin anew.
    package static let fileNames = ["data.mdb", "lock.mdb"]

    /// Forgets everything but what users said of this machine's cache (the pins): the remote is read anew (an import,
    /// or a state that was given up).
    ///
    /// - Parameter superblock: what stays, so that a crash from here on leaves a disk that is known.
    package func reset(keeping superblock: Superblock?) throws(MetadataError) {
        do throws(LMDBError) {
            let transaction = try environment.write()
            for (name, database) in databases where name != "pins" { try transaction.clear(database) }
            if let superblock {
                try transaction.put(Self.superblockKey, superblock.encoded, in: databases["meta"]!)
            }
            try transaction.commit()
        } catch {
            throw MetadataError(error)
        }
    }

    // MARK: Helpers

    private static let superblockKey = Array("superblock".utf8)
    private static let descriptorKey = Array("descriptor".utf8)

    private static func key(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
    private static func key(_ place: NodePlace) -> [UInt8] { [UInt8(place.level)] + key(place.index) }
    private static func key(_ garbage: GarbageRecord) -> [UInt8] {
        key(garbage.died.rawValue) + Array(garbage.name.path.utf8)
    }
    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private func value(in database: String, _ key: [UInt8]) throws(MetadataError) -> [UInt8]? {
        do throws(LMDBError) {
            let transaction = try environment.read()
            return try transaction.get(key, in: databases[database]!)
        } catch {
            throw MetadataError(error)
        }
    }

    private func rows(
        of database: String,
        until end: [UInt8]? = nil,
        limit: Int = .max
    ) throws(MetadataError) -> [(key: [UInt8], value: [UInt8])] {
        var rows: [(key: [UInt8], value: [UInt8])] = []
        do throws(LMDBError) {
            let transaction = try environment.read()
            try transaction.forEach(in: databases[database]!, until: end) { key, value in
                rows.append((Array(key), Array(value)))
                return rows.count < limit
            }
        } catch {
            throw MetadataError(error)
        }
        return rows
    }

    private func decoded<Value>(_ body: () throws(FormatError) -> Value) throws(MetadataError) -> Value {
        do throws(FormatError) { return try body() } catch { throw .format(error) }
    }
}
