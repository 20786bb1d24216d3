internal import CBlkid
import Glibc

/// What lies on a block device or in an image, as libblkid sees it.
package enum BlockProbe {
    package enum Content: Hashable, Sendable, CustomStringConvertible {
        /// libblkid knows nothing of what is there, and said so clearly.
        case empty
        case filesystem(type: String, uuid: String?)
        /// A partition table, of the type named, such as "gpt" or "dos".
        case partitionTable(String)
        /// Anything else that somebody may want to keep: a RAID member, LVM, encryption, swap, or signs that do not
        /// agree with each other.
        case other(String)

        package var description: String {
            switch self {
            case .empty: "nothing"
            case .filesystem(let type, let uuid): "a \(type) filesystem" + (uuid.map { " (\($0))" } ?? "")
            case .partitionTable(let type): "a partition table (\(type))"
            case .other(let text): text
            }
        }
    }

    /// Probes with all that libblkid knows. Reads a few MiB; blocks.
    ///
    /// A probe that fails, or that finds several things at once, is never `empty`.
    ///
    /// - Throws: when the path cannot be opened or read.
    package static func content(of path: String) throws(Errno) -> Content {
        let file = try OpenFile.open(path, flags: O_RDONLY)
        guard let probe = blkid_new_probe() else { throw .noMemory }
        defer { blkid_free_probe(probe) }
        guard blkid_probe_set_device(probe, file.descriptor, 0, 0) == 0 else { throw failure() }
        blkid_probe_enable_superblocks(probe, 1)
        blkid_probe_set_superblocks_flags(
            probe,
            CInt(BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM)
        )
        blkid_probe_enable_partitions(probe, 1)
        // A filesystem may lie in what a partition table leaves over; that is found too, and is no contradiction.
        blkid_probe_set_partitions_flags(probe, CInt(BLKID_PARTS_FORCE_GPT))

        errno = 0
        switch blkid_do_safeprobe(probe) {
        case 0: return found(by: probe)
        case 1:
            // libblkid skips what it cannot read: an unreadable start must not look empty.
            return try isReadable(file) ? .empty : .other("an unreadable start")
        case -2: return .other("several signatures that contradict each other")
        default: throw failure()
        }
    }

    private static func found(by probe: blkid_probe) -> Content {
        let type = value("TYPE", of: probe)
        switch value("USAGE", of: probe) {
        case "filesystem": return .filesystem(type: type ?? "unknown", uuid: value("UUID", of: probe))
        case let usage?: return .other("\(type ?? "unknown") (\(usage))")
        case nil:
            if let table = value("PTTYPE", of: probe) { return .partitionTable(table) }
            return .other(type ?? "an unknown signature")
        }
    }

    private static func value(_ name: String, of probe: blkid_probe) -> String? {
        var text: UnsafePointer<CChar>?
        guard blkid_probe_lookup_value(probe, name, &text, nil) == 0, let text else { return nil }
        return String(cString: text)
    }

    private static func isReadable(_ file: OpenFile) throws(Errno) -> Bool {
        let bytes = min(try file.size(), 1 << 20)
        do {
            _ = try file.preadAll(count: Int(bytes), at: 0)
            return true
        } catch {
            return false
        }
    }

    private static func failure() -> Errno {
        Errno.current == Errno(rawValue: 0) ? .ioError : .current
    }
}
