extension Disk {
    /// Uploads nothing more of its own accord, until `resumeUploads` or the disk's end; an epoch in flight stands still
    /// before its next chunk. What is dirty stays here, durable as ever. Syncs, and whatever takes the disk out of use,
    /// upload all the same.
    ///
    /// Flushes of a disk with remote durability wait, and so do writers once the cache is full of changes.
    package func pauseUploads() async { await uploads.pause() }

    /// Uploads go on at once.
    package func resumeUploads() async { await uploads.resume() }

    /// Runs what flushes the disk on behalf of somebody who wants it on the remote: its flushes are not to wait for the
    /// end of a pause.
    package func uploading<Failure: Error>(
        _ body: @Sendable () async throws(Failure) -> Void
    ) async throws(Failure) {
        await uploads.beginWish()
        do throws(Failure) {
            try await body()
        } catch {
            await uploads.endWish()
            throw error
        }
        await uploads.endWish()
    }

    /// What waits to be uploaded, and what is on its way.
    ///
    /// - Parameter limit: chunks that are listed, 0 or more; all are counted.
    package func uploadQueue(limit: Int) async -> UploadQueue { await uploads.queue(limit: limit) }
}
