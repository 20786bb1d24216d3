/// Why compressed bytes were not accepted. Each text is one sentence without a subject, to follow a colon.
package enum CodecError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Not one whole zstd frame with a content size and a checksum, and nothing after it.
    case notOneFrame
    /// The frame holds another number of bytes than it must.
    case contentBytes(found: UInt64, expected: UInt64)
    /// The output does not fit into the buffer.
    case outputFull
    /// What libzstd says: a wrong checksum, or a stream that cannot be decoded.
    case damaged(String)

    package var description: String {
        switch self {
        case .notOneFrame: "the bytes are not exactly one zstd frame with content size and checksum"
        case .contentBytes(let found, let expected): "the zstd frame holds \(found) bytes instead of \(expected)"
        case .outputFull: "the compressed bytes do not fit into the buffer"
        case .damaged(let reason): "zstd refuses the frame (\(reason))"
        }
    }
}
