package import VDriveFormat
package import VDriveModel

/// What LMDB says of one chunk in the cache. A chunk without a record has nothing there.
package struct PageRecord: Hashable, Sendable {
    /// Pages whose bytes an fdatasync made durable before this record was committed.
    package var present: PageSet
    /// Pages newer than the remote's last commit, but for those that a trim made zeros; a part of `present`.
    package var dirty: PageSet
    /// Whether the chunk is to be uploaded. A chunk can be so without a dirty page: one that was trimmed, or just
    /// opened for writing.
    package var isDirty: Bool

    package init(present: PageSet, dirty: PageSet, isDirty: Bool) {
        self.present = present
        self.dirty = dirty
        self.isDirty = isDirty
    }

    // offset  size  field
    // 0       1     flags: 1 every page present · 2 dirty · 4 every page dirty · 8 no page dirty
    // 1       2     pages a chunk
    // 3       …     present words, left out when every page is; then dirty words, left out when all or none are
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        let flags: UInt8 =
            (present.isFull ? 1 : 0) | (isDirty ? 2 : 0) | (dirty.isFull ? 4 : 0) | (dirty.isEmpty ? 8 : 0)
        writer.integer(flags)
        writer.integer(UInt16(present.pageCount))
        if !present.isFull { for word in present.words { writer.integer(word) } }
        if !dirty.isFull, !dirty.isEmpty { for word in dirty.words { writer.integer(word) } }
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(FormatError) {
        var reader = ByteReader(bytes, part: .localRecord)
        let flags: UInt8 = try reader.integer()
        let pageCount = Int(try reader.integer(UInt16.self))
        guard flags < 16, pageCount > 0 else { throw .malformed(.localRecord, "flags \(flags)") }
        present = PageSet(full: pageCount)
        dirty = PageSet(pageCount: pageCount)
        isDirty = flags & 2 != 0
        if flags & 1 == 0 { present = try Self.words(&reader, pageCount) }
        if flags & 4 != 0 {
            dirty = PageSet(full: pageCount)
        } else if flags & 8 == 0 {
            dirty = try Self.words(&reader, pageCount)
        }
        try reader.finish()
    }

    private static func words(_ reader: inout ByteReader, _ pageCount: Int) throws(FormatError) -> PageSet {
        var set = PageSet(pageCount: pageCount)
        for index in set.words.indices { set.words[index] = try reader.integer() }
        return set
    }
}
