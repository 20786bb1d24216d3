internal import Synchronization

extension Disk {
    /// Returns when everything written before is committed on the remote.
    ///
    /// - Throws: `busy` also when the task is cancelled: the wait ends, the uploads go on.
    package func sync() async throws(DiskError) {
        // Nothing was written.
        if isReadOnly { return }
        let ticket = nextTicket.add(1, ordering: .relaxed).newValue
        let result = await withTaskGroup(of: Result<Void, DiskError>?.self) { group in
            group.addTask {
                do throws(DiskError) { return .success(try await self.uploads.sync(ticket)) } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                // Until the wait has ended, or is cancelled.
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
                await self.uploads.giveUp(ticket)
                return nil
            }
            var result: Result<Void, DiskError>?
            while let next = await group.next() {
                if let next { result = next }
                group.cancelAll()
            }
            return result
        }
        try result?.get()
    }

    /// How far the uploads have come, in bytes of whole chunks: those that went up since the attach, and those that
    /// are still to go up.
    package func uploadProgress() async -> (done: UInt64, left: UInt64) {
        let uploads = await uploads.tally
        return (uploads.done, uploads.pending + (await cache.unsealedBytes))
    }
}
