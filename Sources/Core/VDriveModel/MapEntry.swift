/// What the map says of one chunk that lies on the remote.
package struct MapEntry: Hashable, Sendable {
    /// Who wrote the object; with the chunk's index it gives the object's name.
    package var version: ObjectVersion
    /// The object's whole length on the remote, in bytes.
    package var objectBytes: UInt32
    /// The compressed length of each frame, in bytes, in the order of the frames.
    package var frameBytes: [UInt32]
    /// The checksum of each frame's raw bytes, the low 32 bits of XXH64: what binds the frames to this entry.
    package var frameChecksums: [UInt32]
    /// Over the chunk's raw bytes.
    package var hash: ContentHash
    /// Pages whose bytes were lost with an older object, and that nobody has written since: zeros in this object, and
    /// an error to readers. Nil when there are none.
    package var lostPages: PageSet?

    package init(
        version: ObjectVersion,
        objectBytes: UInt32,
        frameBytes: [UInt32],
        frameChecksums: [UInt32],
        hash: ContentHash,
        lostPages: PageSet? = nil
    ) {
        self.version = version
        self.objectBytes = objectBytes
        self.frameBytes = frameBytes
        self.frameChecksums = frameChecksums
        self.hash = hash
        self.lostPages = lostPages
    }
}
