package import Linux

/// What is mounted, in this process's view: `/proc/self/mountinfo`. Reading it touches none of the filesystems.
/// Paths are compared as bytes, as the kernel does.
package struct MountTable: Sendable {
    package struct Entry: Hashable, Sendable {
        package let device: DeviceNumber
        /// The folder of the filesystem that is seen at `path`; "/" except for bind mounts.
        package let root: String
        package let path: String
        package let options: [String]
        /// For example "ext4" or "fuse.vdrive".
        package let type: String
        package let source: String

        package var isReadOnly: Bool { options.contains("ro") }
        package var isFuse: Bool { type == "fuse" || type == "fuseblk" || type.hasPrefix("fuse.") }
    }

    /// In the order in which they were mounted, as far as the kernel tells.
    package let entries: [Entry]

    /// More than a machine with ten thousands of containers has.
    private static let bytesMax = 64 << 20

    /// Reads the table as it is now.
    package static func current() throws(HostError) -> MountTable {
        do throws(Errno) {
            let bytes = try readFile("/proc/self/mountinfo", maxBytes: bytesMax)
            return MountTable(parsing: String(decoding: bytes, as: UTF8.self))
        } catch {
            throw HostError(.failed, "The table of mounts cannot be read: \(error).")
        }
    }

    /// Lines of another form than that of proc(5) are left out.
    package init(parsing text: String) {
        entries = text.split(separator: "\n").compactMap(Self.entry)
    }

    /// What is seen at a path: the last thing mounted there.
    package func entry(at path: String) -> Entry? { entries.last { $0.path.utf8.elementsEqual(path.utf8) } }

    package func entries(on device: DeviceNumber) -> [Entry] { entries.filter { $0.device == device } }

    /// The mounts below a path, without the one at it.
    package func entries(below path: String) -> [Entry] {
        let prefix = path == "/" ? "/" : path + "/"
        return entries.filter { $0.path.utf8.starts(with: prefix.utf8) && !$0.path.utf8.elementsEqual(path.utf8) }
    }

    /// The mount on which a path lies, going by the name alone: absolute, without links and dots.
    package func entry(containing path: String) -> Entry? {
        let candidates = entries.filter { entry in
            entry.path == "/" || path.utf8.elementsEqual(entry.path.utf8)
                || path.utf8.starts(with: (entry.path + "/").utf8)
        }
        let longest = candidates.map(\.path.utf8.count).max()
        return candidates.last { $0.path.utf8.count == longest }
    }

    private static func entry(_ line: Substring) -> Entry? {
        // 36 35 98:0 /root /path rw,noatime shared:1 - ext4 /dev/loop0 rw,errors=continue
        let fields = line.split(separator: " ")
        guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 2,
            let device = DeviceNumber(fields[2])
        else { return nil }
        return Entry(
            device: device,
            root: unescaped(fields[3]),
            path: unescaped(fields[4]),
            options: fields[5].split(separator: ",").map(String.init),
            type: String(fields[dash + 1]),
            source: unescaped(fields[dash + 2])
        )
    }

    /// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            let digits = String(decoding: rest.prefix(3), as: UTF8.self)
            if byte == UInt8(ascii: "\\"), digits.count == 3, let code = UInt8(digits, radix: 8) {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
