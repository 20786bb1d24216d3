/// The places where a test can make the engine stop, fail or wait: `verb.before-thing`, `verb.after-thing`.
///
/// Each line says what a crash there must leave behind. A point stands between two steps, in the order in which the
/// engine takes them; none is on the hit path.
package enum FaultPoint: String, CaseIterable, Sendable {
    // MARK: Flush, and every other record of pages (ordering rules 1 and 3)

    /// Nothing of the flush is promised: pages are what the last flush recorded, or newer. A failure here counts as a
    /// failed fdatasync: the disk fails until the next attach.
    case flushBeforeDataSync = "flush.before-data-sync"
    /// Bytes are durable, LMDB does not name them: an unclean start punches or drops them; older flushes hold.
    case flushAfterDataSync = "flush.after-data-sync"
    /// Bytes and records are durable, nobody was told: the flush has happened all the same.
    case flushAfterMetadata = "flush.after-metadata"

    // MARK: Seal, preserve, capture (ordering rule 5)

    /// The epoch was only a number in memory: all its pages are dirty in LMDB as far as a flush recorded them.
    case sealAfterIncrement = "seal.after-increment"
    /// Nothing was kept yet, nothing overwritten: as after a seal.
    case preserveBeforeCopy = "preserve.before-copy"
    /// The copy in the outbox has no name any more and is gone with the process; the cache file holds the truth.
    case preserveAfterCopy = "preserve.after-copy"
    /// No sealed page has been overwritten yet: as after a seal.
    case preserveBeforeKeep = "preserve.before-keep"
    /// Sealed pages were in memory and are gone: the next start uploads the chunk as it was flushed last.
    case preserveAfterKeep = "preserve.after-keep"
    /// As after a seal: nothing has left the machine.
    case captureBeforeRead = "capture.before-read"
    /// As after a seal: what was read was in memory alone.
    case captureAfterRead = "capture.after-read"

    // MARK: Put, map, commit (ordering rules 6 and 7)

    /// Some chunk objects of the epoch may be on the remote; nothing refers to them.
    case putBeforeChunk = "put.before-chunk"
    /// One more is, and nothing refers to it; its pages are still dirty here.
    case putAfterChunk = "put.after-chunk"
    /// All chunk objects are on the remote, none is referred to.
    case mapBeforeNode = "map.before-node"
    /// Also a node of the map, which nothing refers to.
    case mapAfterNode = "map.after-node"
    /// The remote's head is the commit before; objects of the epoch lie there unused.
    case commitBeforeObject = "commit.before-object"
    /// The remote's head is this epoch, whole; LMDB does not know, and the next attach adopts it.
    case commitAfterObject = "commit.after-object"
    /// The same: nobody has claimed a higher term, and LMDB does not know yet.
    case commitAfterLook = "commit.after-look"
    /// LMDB names the new head and the pages as clean; the flags in memory, which still said dirty, are gone.
    case commitAfterMetadata = "commit.after-metadata"
    /// The commit counts; the hint on the remote names an older one.
    case commitBeforeHint = "commit.before-hint"

    // MARK: Evict and fill (ordering rules 2 and 3)

    /// Nothing was forgotten, nothing punched.
    case evictBeforeForget = "evict.before-forget"
    /// LMDB records nothing where the cache file still has bytes: the next start punches them.
    case evictAfterForget = "evict.after-forget"
    /// Records and bytes are both gone.
    case evictAfterPunch = "evict.after-punch"
    /// Fetched bytes may be in the cache file in part; no record speaks of them: the next start punches them.
    case fillAfterBytes = "fill.after-bytes"

    // MARK: Garbage

    /// The object is there and noted as garbage: the next round deletes it.
    case garbageBeforeDelete = "garbage.before-delete"
    /// Objects are gone that LMDB still lists as garbage: deleting them again does no harm.
    case garbageAfterDeletes = "garbage.after-deletes"

    // MARK: Recovery: attaching after whatever happened (ordering rules 4 and 8)

    /// A term is claimed that nobody uses, and nothing else has changed: the next attach takes a higher one.
    case recoverAfterClaim = "recover.after-claim"
    /// The same: the state was only read.
    case recoverAfterStateRead = "recover.after-state-read"
    /// LMDB names a term without a commit; dirty pages are recorded as before.
    case recoverAfterTermNoted = "recover.after-term-noted"
    /// The new term's first commit, with the state of its parent, may be on the remote alone: the next attach knows it
    /// as its own.
    case recoverAfterFirstCommit = "recover.after-first-commit"
    /// LMDB and the remote agree; the cache is as the last run left it, and still counts as unclean.
    case recoverBeforeCache = "recover.before-cache"
    /// Some of what LMDB does not record is punched, some is not: the next start punches the rest.
    case recoverWhilePunching = "recover.while-punching"
    /// The cache holds what LMDB records and nothing else; it still counts as unclean.
    case recoverAfterCache = "recover.after-cache"

    // MARK: Clean stop

    /// Everything is flushed, but the stop counts as unclean: the next start checks what it need not.
    case stopBeforeRecord = "stop.before-record"
    /// A clean stop.
    case stopAfterRecord = "stop.after-record"

    /// Whether the step beside the point is one that can fail. Elsewhere nothing could be told to anybody.
    package var canFail: Bool { ![.sealAfterIncrement, .commitAfterMetadata, .stopAfterRecord].contains(self) }
}

/// The ordering rules that a test may have broken on purpose, to show that it would notice (design, section 6).
package enum OrderingRule: String, CaseIterable, Sendable {
    /// Broken: LMDB records the pages, and the flush is answered, without an fdatasync.
    case rule1
    /// Broken: the holes are punched first, and LMDB forgets the pages afterwards.
    case rule2
    /// Broken: an eviction's commit also records pages whose bytes no fdatasync has followed.
    case rule3Records = "rule3a"
    /// Broken: after an unclean stop, clean chunks are taken as they are.
    case rule3Trust = "rule3b"
    /// Broken: an unclean start goes on in the old term, with the epoch number of the upload that it interrupted.
    case rule4
    /// Broken: a write to a sealed chunk does not keep what it overwrites.
    case rule5
    /// Broken: the commit object is put first, the chunk objects after it.
    case rule6
    /// Broken: a chunk counts as clean once it is uploaded, before LMDB knows its object.
    case rule7
    /// Broken: attaching does not compare the remote's head with what this machine knows.
    case rule8
}
