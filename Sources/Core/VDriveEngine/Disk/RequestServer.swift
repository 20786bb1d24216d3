internal import Glibc
internal import Linux
internal import Logging
internal import Synchronization
internal import VDriveDataPlane
internal import VDriveModel

/// Serves what FUSE threads hand over: one pump, one child task a request.
struct RequestServer: Sendable {
    let plane: DataPlane
    let cache: CacheActor
    let uploads: UploadQueueActor
    let settings: LiveSettings
    let threads: BlockingThreads
    let logger: Logger

    /// Runs until the ring is closed and every request is answered.
    func run() async {
        await withDiscardingTaskGroup { group in
            while true {
                let count = await plane.ring.ready()
                if count == 0 { return }
                // The child takes the request itself: a move-only value cannot be captured by its closure.
                for _ in 0..<count { group.addTask { await self.serveOne() } }
            }
        }
    }

    private func serveOne() async {
        let request = plane.ring.take()
        let operation = request.operation
        let start = request.start
        let reply = request.intoReply()
        let counters = plane.counters
        let refusal = plane.writeErrno.load(ordering: .relaxed)
        if refusal != 0, operation.isChange { return reply.error(refusal) }
        switch operation {
        case .read(let offset, let count):
            let isDone = await read(offset, count, reply)
            counters.noteReadMiss(bytes: isDone ? count : nil, since: start)
        case .write(let offset, let count, let buffer):
            let isDone = await write(offset, count, buffer, reply)
            counters.noteWriteMiss(bytes: isDone ? count : nil, since: start)
        case .flush:
            let isDone = await answer(reply) { () async throws(DiskError) in try await flush() }
            counters.noteFlush(isAnswered: isDone, since: start)
        case .close: await answer(reply) { () async throws(DiskError) in try await cache.flush() }
        case .deallocate(let offset, let count):
            let isDone = await answer(reply) { () async throws(DiskError) in try await deallocate(offset, count) }
            counters.noteTrim(bytes: isDone ? count : nil)
        case .seek(let offset, let data): await seek(offset, data: data, reply)
        case .reached(let chunk):
            reply.error(0)
            await cache.reached(chunk)
        }
    }

    /// The one place where an engine's error becomes an errno.
    private func code(_ error: DiskError) -> CInt {
        switch error.kind {
        case .fenced, .diverged: EROFS
        default: EIO
        }
    }

    /// - Returns: whether it was done; else the guest got an error. So do those for reads and writes.
    @discardableResult
    private func answer(
        _ reply: consuming ReplyHandle,
        _ body: () async throws(DiskError) -> Void
    ) async -> Bool {
        do throws(DiskError) {
            try await body()
            reply.error(0)
            return true
        } catch {
            logger.error("request failed", metadata: ["error": "\(error)"])
            reply.error(code(error))
            return false
        }
    }

    /// Promise 1 of the disk's durability.
    private func flush() async throws(DiskError) {
        try await cache.flush()
        // Read after the local flush: a change of the setting that came before it counts.
        if settings.durability == .remote { try await uploads.awaitCommit(settings) }
    }

    // MARK: Reading

    private func read(_ offset: UInt64, _ count: Int, _ reply: consuming ReplyHandle) async -> Bool {
        let parts = plane.geometry.parts(offset: offset, count: count)
        do throws(DiskError) {
            if parts.count == 1, let place = plane.cache.place(of: offset) {
                switch try await cache.pinResident(parts[0], for: .read) {
                case .pinned:
                    reply.file(place.descriptor, position: place.position, count: count)
                    plane.table.unpin(parts[0].chunk)
                    return true
                case .bypassed(let bytes):
                    reply.bytes(UnsafeRawBufferPointer(bytes.bytes))
                    return true
                case .zeros: break
                }
            }
            let bytes = try await assemble(parts, count)
            reply.bytes(UnsafeRawBufferPointer(bytes.bytes))
            return true
        } catch {
            logger.error("read failed", metadata: ["offset": "\(offset)", "error": "\(error)"])
            reply.error(code(error))
            return false
        }
    }

    /// One part after the other, each pinned only while it is copied: a request that held one chunk while it waited for
    /// room for the next could wait for itself.
    private func assemble(_ parts: [ChunkPart], _ count: Int) async throws(DiskError) -> ChunkBuffer {
        let buffer = ChunkBuffer(count: count)
        var at = 0
        for part in parts {
            let target = at..<at + part.bytes.count
            at = target.upperBound
            while let error = try await read(part, into: buffer, at: target) {
                try await cache.dropUnreadable(part.chunk, error)
            }
        }
        return buffer
    }

    /// - Returns: why the cache could not be read, or nil.
    private func read(
        _ part: ChunkPart,
        into buffer: ChunkBuffer,
        at target: Range<Int>
    ) async throws(DiskError) -> Errno? {
        switch try await cache.pinResident(part, for: .read) {
        case .zeros: return nil
        case .bypassed(let bytes):
            UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[target])
                .copyMemory(from: UnsafeRawBufferPointer(bytes.bytes))
            return nil
        case .pinned: break
        }
        defer { plane.table.unpin(part.chunk) }
        let offset = plane.geometry.offset(of: part.chunk) + UInt64(part.bytes.lowerBound)
        let file = plane.cache
        do throws(Errno) {
            try await threads.run { () throws(Errno) in
                try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[target]))
            }
            return nil
        } catch {
            return error
        }
    }

    // MARK: Writing

    private func write(
        _ offset: UInt64,
        _ count: Int,
        _ buffer: PooledBuffer,
        _ reply: consuming ReplyHandle
    ) async -> Bool {
        do throws(DiskError) {
            var at = 0
            for part in plane.geometry.parts(offset: offset, count: count) {
                try await cache.write(part, .buffer(buffer, from: at))
                at += part.bytes.count
            }
            reply.wrote(count)
            return true
        } catch {
            logger.error("write failed", metadata: ["offset": "\(offset)", "error": "\(error)"])
            reply.error(code(error))
            return false
        }
    }

    /// Costs the chunks that exist in the range, not the range.
    private func deallocate(_ offset: UInt64, _ count: UInt64) async throws(DiskError) {
        let geometry = plane.geometry
        let chunkBytes = UInt64(geometry.chunkBytes)
        let end = offset + count
        let firstWhole = (offset + chunkBytes - 1) / chunkBytes
        let endWhole = end / chunkBytes
        guard firstWhole <= endWhole else {
            // Inside one chunk.
            for part in geometry.parts(offset: offset, count: Int(count)) { try await cache.deallocate(part) }
            return
        }
        if offset % chunkBytes != 0 {
            let head = min(firstWhole * chunkBytes, end) - offset
            for part in geometry.parts(offset: offset, count: Int(head)) { try await cache.deallocate(part) }
        }
        if end % chunkBytes != 0, endWhole >= firstWhole {
            let start = endWhole * chunkBytes
            for part in geometry.parts(offset: start, count: Int(end - start)) { try await cache.deallocate(part) }
        }
        guard firstWhole < endWhole else { return }
        var walk = DataWalk(firstWhole * chunkBytes..<endWhole * chunkBytes, in: cache)
        while true {
            let batch = try await walk.nextBatch()
            if batch.isEmpty { return }
            try await cache.trim(batch.map(\.chunk))
        }
    }

    // MARK: Seeking

    /// By chunks: what is allocated is data.
    private func seek(_ offset: UInt64, data: Bool, _ reply: consuming ReplyHandle) async {
        let geometry = plane.geometry
        do throws(DiskError) {
            var chunk = geometry.chunk(at: offset)
            if data {
                guard let found = try await cache.nextData(from: chunk) else {
                    reply.error(ENXIO)
                    return
                }
                reply.offset(max(offset, geometry.offset(of: found)))
            } else {
                while let found = try await cache.nextData(from: chunk), found == chunk {
                    chunk = ChunkIndex(chunk.rawValue + 1)
                }
                reply.offset(min(geometry.diskBytes, max(offset, geometry.offset(of: chunk))))
            }
        } catch {
            reply.error(code(error))
        }
    }
}
