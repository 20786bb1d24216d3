internal import Codec
package import VDriveFormat
package import VDriveModel

/// What this machine knows of a disk as a whole. One record, rewritten with every commit.
package struct Superblock: Hashable, Sendable {
    package var id: DiskID
    package var diskBytes: UInt64
    package var chunkBytes: Int
    /// The term that this machine claimed last.
    package var term: Term
    /// The last commit that this machine knows to count; nil before the first.
    package var head: ObjectVersion?
    /// What the cache directory's identity file must say: records describe that cache and no other.
    package var cacheID: UInt64
    /// The last stop recorded everything: what LMDB says needs no check (ordering rule 3).
    package var isClean: Bool
    /// The last detach gave the term back: another machine may have written since.
    package var isReleased = false
    /// The disk was served from `head` while its remote was away: a commit of ours that landed unseen before that is
    /// not what it is.
    package var servedAlone = false
    /// States of the remote that others may still need: what they refer to is no garbage.
    package var kept: [KeptEpoch] = []
    /// Every allocation row that is not there is all zeros (a disk made here), rather than unknown (an imported one).
    package var allocationIsComplete: Bool

    package init(
        id: DiskID,
        diskBytes: UInt64,
        chunkBytes: Int,
        term: Term,
        head: ObjectVersion?,
        cacheID: UInt64,
        isClean: Bool,
        allocationIsComplete: Bool
    ) {
        self.id = id
        self.diskBytes = diskBytes
        self.chunkBytes = chunkBytes
        self.term = term
        self.head = head
        self.cacheID = cacheID
        self.isClean = isClean
        self.allocationIsComplete = allocationIsComplete
    }

    static let formatVersion: UInt32 = 1

    // offset  size  field
    // 0       4     format version
    // 4       16    disk uuid
    // 20      8     disk bytes
    // 28      8     chunk bytes
    // 36      8     term
    // 44      16    head (term, epoch), zeros when there is none
    // 60      8     cache id
    // 68      1     flags: 1 clean · 2 allocation complete · 4 released · 8 served alone
    // 69      1     kept epochs n
    // 70      16·n  kept epochs: epoch, until
    // …       8     XXH3 of what is before
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.integer(Self.formatVersion)
        writer.disk(id)
        writer.integer(diskBytes)
        writer.integer(UInt64(chunkBytes))
        writer.integer(term.rawValue)
        writer.version(head)
        writer.integer(cacheID)
        let flags: [(Bool, UInt8)] = [(isClean, 1), (allocationIsComplete, 2), (isReleased, 4), (servedAlone, 8)]
        writer.integer(flags.reduce(0) { $0 | ($1.0 ? $1.1 : 0) })
        writer.integer(UInt8(kept.count))
        for kept in kept {
            writer.integer(kept.epoch.rawValue)
            writer.integer(kept.until)
        }
        writer.integer(XXH3.hash64(writer.bytes))
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(FormatError) {
        var reader = ByteReader(bytes, part: .localRecord)
        let version: UInt32 = try reader.integer()
        guard version == Self.formatVersion else { throw .futureVersion(.localRecord, UInt64(version)) }
        id = try reader.disk()
        diskBytes = try reader.integer()
        chunkBytes = Int(clamping: try reader.integer(UInt64.self))
        term = Term(try reader.integer())
        let head = try reader.version()
        self.head = head.epoch.rawValue == 0 ? nil : head
        cacheID = try reader.integer()
        let flags: UInt8 = try reader.integer()
        isClean = flags & 1 != 0
        allocationIsComplete = flags & 2 != 0
        isReleased = flags & 4 != 0
        servedAlone = flags & 8 != 0
        let count: UInt8 = try reader.integer()
        for _ in 0..<count {
            kept.append(KeptEpoch(epoch: Epoch(try reader.integer()), until: try reader.integer()))
        }
        let covered = reader.at
        let checksum: UInt64 = try reader.integer()
        guard checksum == XXH3.hash64(Array(bytes[..<covered])) else { throw .checksum(.localRecord) }
        try reader.finish()
    }
}

/// A state that is kept on the remote for a while, though the disk has gone on.
package struct KeptEpoch: Hashable, Sendable {
    package var epoch: Epoch
    /// Seconds since 1970.
    package var until: UInt64

    package init(epoch: Epoch, until: UInt64) {
        self.epoch = epoch
        self.until = until
    }

    /// At most so many are kept; the oldest go first.
    package static let countMax = 16
}
