/// Paths as Linux has them: bytes.
///
/// Swift takes two strings for equal when they look alike: `é` as one letter, and as `e` with an accent behind it. To a
/// filesystem these are two names. And where a name begins with an accent, Swift takes the slash before it and the
/// accent for one character, so that neither `split` nor `hasPrefix` finds the slash.
extension String {
    /// Whether two paths are the same bytes.
    package func isSamePath(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    /// Whether a path lies below a folder, going by their names alone: absolute, without a slash at the end, dots and
    /// doubled slashes.
    package func isBelow(_ folder: String) -> Bool {
        utf8.starts(with: (folder == "/" ? "/" : folder + "/").utf8) && utf8.count > folder.utf8.count
    }

    /// What stands between the slashes, without what is empty.
    package var pathParts: [String] {
        utf8.split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
    }
}
