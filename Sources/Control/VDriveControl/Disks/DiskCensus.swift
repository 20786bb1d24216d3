import VDriveEngine
import VDriveProtocol

/// How many disks there are and what they do, in one look that waits for no disk unless the daemon stops.
package struct DiskCensus: Equatable, Sendable {
    package var total = 0
    package var attached = 0
    package var attaching = 0
    package var destroying = 0
    package var detaching = 0
    /// Detached, because something went wrong.
    package var troubled = 0
    /// Files of disks that could not be read.
    package var leftOut = 0
    package var isStopping = false
    /// What has to go to the remotes before the stop is over.
    package var uploadBytes: UInt64 = 0

    package init(
        total: Int = 0,
        attached: Int = 0,
        detaching: Int = 0,
        isStopping: Bool = false,
        uploadBytes: UInt64 = 0
    ) {
        self.total = total
        self.attached = attached
        self.detaching = detaching
        self.isStopping = isStopping
        self.uploadBytes = uploadBytes
    }

    /// One line for people, such as "2 disks, 1 attached".
    package var sentence: String {
        if isStopping {
            let disks = attached + attaching + detaching
            let upload = uploadBytes > 0 ? ", \(ByteSize.text(uploadBytes)) to upload" : ""
            return disks > 0 ? "stopping: \(Self.disks(disks)) still in use\(upload)" : "stopping"
        }
        let parts = [
            (attached, "attached"), (attaching, "being attached"), (detaching, "being detached"),
            (destroying, "being destroyed"),
            (troubled, "in trouble"), (leftOut, "left out"),
        ]
        let rest = parts.filter { $0.0 > 0 }.map { ", \($0.0) \($0.1)" }.joined()
        return Self.disks(total) + rest
    }

    private static func disks(_ count: Int) -> String {
        switch count {
        case 0: "no disks"
        case 1: "1 disk"
        default: "\(count) disks"
        }
    }
}

extension DiskRegistry {
    /// Counts the disks. While the daemon stops it also asks them what is left to upload.
    package func census() async -> DiskCensus {
        var census = DiskCensus()
        var leaving: [AttachedDisk] = []
        for entry in entries.values {
            census.total += 1
            switch entry.phase {
            case .detached: census.troubled += entry.trouble == nil ? 0 : 1
            case .attaching: census.attaching += 1
            case .destroying: census.destroying += 1
            case .attached(let attached):
                census.attached += 1
                leaving.append(attached)
            case .detaching(let attached):
                census.detaching += 1
                leaving.append(attached)
            }
        }
        census.leftOut = loadErrors.count
        census.isStopping = isStopping
        guard isStopping else { return census }
        for attached in leaving { census.uploadBytes += await attached.disk.status().pendingBytes }
        return census
    }
}
