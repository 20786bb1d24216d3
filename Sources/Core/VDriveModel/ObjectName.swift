/// The name of an object below the store's prefix: a relative path of safe characters, such as
/// `blocks/0000000/blk_000000000.00000001-0000000001.zst`.
///
/// Which names exist is the format's business (VDriveFormat); a store takes them as they are.
package struct ObjectName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let path: String

    /// - Precondition: `path` is made of `A-Za-z0-9._-` and single inner slashes, without `.` and `..` components.
    package init(_ path: String) {
        precondition(Self.isValid(path), "not an object name: \(path)")
        self.path = path
    }

    package static func isValid(_ path: String) -> Bool {
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        return components.allSatisfy { component in
            !component.isEmpty && component != "." && component != ".."
                && component.utf8.allSatisfy { byte in
                    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                        || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                        || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
                }
        }
    }

    /// The path of the folder that holds the object, or nil at the top.
    package var folder: String? {
        path.lastIndex(of: "/").map { String(path[..<$0]) }
    }

    package static func < (left: Self, right: Self) -> Bool { left.path < right.path }
    package var description: String { path }
}
