import Glibc

/// Who is at the other end of a Unix socket, as the kernel noted it at connect.
package struct PeerCredentials: Equatable, Sendable {
    package let pid: Int32
    package let uid: UInt32
    package let gid: UInt32
    /// The supplementary groups, in no order; `gid` may be missing among them.
    package let groups: [UInt32]

    package init(pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    package func isMember(of group: UInt32) -> Bool { gid == group || groups.contains(group) }

    /// Asks the kernel, with SO_PEERCRED and SO_PEERGROUPS (Linux 4.13).
    ///
    /// - Parameter descriptor: of a connected Unix stream socket.
    /// - Throws: `Errno` where it is none.
    package static func of(_ descriptor: CInt) throws(Errno) -> PeerCredentials {
        // The fields of `struct ucred`, whose types and order are fixed for all times.
        var peer: (pid: Int32, uid: UInt32, gid: UInt32) = (0, 0, 0)
        var length = socklen_t(MemoryLayout.size(ofValue: peer))
        try systemCall { getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) }
        return PeerCredentials(pid: peer.pid, uid: peer.uid, gid: peer.gid, groups: try groups(of: descriptor))
    }

    private static func groups(of descriptor: CInt) throws(Errno) -> [UInt32] {
        let size = MemoryLayout<UInt32>.size
        var groups = [UInt32](repeating: 0, count: 32)
        while true {
            var length = socklen_t(groups.count * size)
            let answer = getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, &groups, &length)
            if answer == 0 { return Array(groups.prefix(Int(length) / size)) }
            switch errno {
            // The kernel says how much room it needs.
            case ERANGE where Int(length) / size > groups.count:
                groups = [UInt32](repeating: 0, count: Int(length) / size)
            // No groups were noted, or the kernel is older.
            case ENODATA, ENOPROTOOPT: return []
            default: throw .current
            }
        }
    }
}

/// A group of users, as `/etc/group` and what else the system asks have it.
package enum UserGroup {
    private static let bufferBytesMax = 16 << 20

    /// Looks a group up.
    ///
    /// - Parameter name: a name, or a number in decimal, which needs no entry.
    /// - Returns: nil when there is no group of that name.
    /// - Throws: `Errno` when the system's list cannot be read.
    package static func id(of name: String) throws(Errno) -> UInt32? {
        // The highest one means "no group" to the kernel.
        if let number = UInt32(name), number < .max { return number }
        var count = 1024
        while true {
            var entry = group()
            var found: UnsafeMutablePointer<group>?
            var buffer = [CChar](repeating: 0, count: count)
            let answer = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
            switch answer {
            case 0: return found == nil ? nil : entry.gr_gid
            case ERANGE where count < bufferBytesMax: count *= 4
            case EINTR: continue
            // What some sources of names answer instead of "none".
            case ENOENT, ESRCH, EBADF, EPERM: return nil
            default: throw Errno(rawValue: answer)
            }
        }
    }
}
