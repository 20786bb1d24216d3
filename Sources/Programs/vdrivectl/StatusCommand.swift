import ArgumentParser
import VDriveClient
import VDriveProtocol

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows one disk, or all.")

    @Argument(help: "The disk's name.") var name: String?
    @Flag(help: "The daemon's answer as JSON.") var json = false
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        if let name {
            let status = try connection.call(DiskStatusOf.self, DiskNameParameters(name: name))
            print(json ? try JSONValue(encoding: status).text : details(status))
        } else {
            let list = try connection.call(DiskList.self, NoParameters())
            print(json ? try JSONValue(encoding: list).text : table(list.disks))
        }
    }

    private func table(_ disks: [DiskStatus]) -> String {
        guard !disks.isEmpty else { return "no disks; make one with vdrivectl create" }
        var table = Table(columns: ["NAME", "STATE", "SIZE", "ALLOCATED", "CACHE", "DIRTY", "MOUNT", "REMOTE"])
        for disk in disks {
            table.add([
                disk.name,
                disk.state.rawValue,
                ByteSize.text(disk.sizeBytes),
                size(disk.allocatedBytes),
                size(disk.cache.usedBytes),
                size(disk.cache.dirtyBytes),
                disk.mountPoint ?? disk.image ?? "-",
                disk.remote.url,
            ])
        }
        return table.text
    }

    private func details(_ disk: DiskStatus) -> String {
        var table = Table(columns: nil)
        func add(_ name: String, _ value: String?) { table.add([name, value ?? "-"]) }
        add("name", disk.name)
        add("uuid", disk.uuid)
        add("state", disk.state.rawValue)
        add("last error", disk.lastError)
        for warning in disk.warnings ?? [] { add("warning", warning) }
        if let damaged = disk.damaged, damaged.total > 0 {
            add("lost objects", "\(damaged.total): \(damaged.objects.joined(separator: " "))")
        }
        add("image", disk.image)
        add("device", disk.device)
        add("mounted at", disk.mountPoint)
        add("filesystem", disk.filesystem)
        add("size", ByteSize.text(disk.sizeBytes))
        add("chunk size", ByteSize.text(UInt64(disk.chunkBytes)))
        add("allocated", size(disk.allocatedBytes))
        add("cache limit", ByteSize.text(disk.cache.limitBytes))
        add("cache used", size(disk.cache.usedBytes))
        add("dirty", size(disk.cache.dirtyBytes))
        add("to upload", size(disk.upload.pendingBytes))
        add("durability", disk.durability.rawValue)
        add("upload interval", "\(disk.uploadIntervalSeconds) s")
        add("term", disk.term.map { "\($0)" })
        add("epoch", disk.epoch.map { "\($0)" })
        add("remote", disk.remote.url)
        add("remote state", disk.remote.state)
        return table.text
    }

    private func size(_ bytes: UInt64?) -> String { bytes.map(ByteSize.text) ?? "-" }
}
