import VDriveEngine
import VDriveProtocol

extension DiskRegistry {
    /// What one disk, or every disk, is and does; by name, from memory.
    ///
    /// - Throws: `notFound`.
    func stats(of name: DiskName?) async throws(RPCError) -> [DiskStats] {
        if let name { return [await stats(of: try entry(name))] }
        var list: [DiskStats] = []
        for name in entries.keys.sorted() {
            if let entry = entries[name] { list.append(await stats(of: entry)) }
        }
        return list
    }

    private func stats(of entry: Entry) async -> DiskStats {
        switch entry.phase {
        case .detached, .attaching, .destroying: return DiskStats(status: DiskStatus(entry: entry, snapshot: nil))
        case .attached(let attached), .detaching(let attached):
            let status = DiskStatus(entry: entry, snapshot: await attached.disk.snapshot())
            return DiskStats(status: status, activity: attached.disk.activity())
        }
    }
}
