internal import VDriveModel

/// Tells sequential readers from random ones, and says what to fetch before it is asked for.
///
/// Only misses come here, and the first hit on a marked chunk. A window of chunks doubles as long as the reader follows
/// it. A value without clock, I/O or await.
struct ReadAhead {
    struct Plan {
        /// The reader is sequential: take the rest of the chunk too.
        var wholeChunk = false
        /// Chunks to fetch in the background, in order.
        var ahead: [ChunkIndex] = []
    }

    private struct Stream {
        var chunk: ChunkIndex
        /// The page after the last one that missed.
        var nextPage: Int
        var window = 0
        /// The first chunk that was not asked for yet.
        var frontier: UInt64
        var lastUse: UInt64
    }

    /// Chunks that one stream may have ahead of its reader, 0 to `EngineLimits.readAheadChunksMax`.
    let windowMax: Int
    private var streams: [Stream] = []
    private var uses: UInt64 = 0

    /// - Parameter cacheBytes: the cache's limit; one stream may take an eighth of it.
    init(cacheBytes: UInt64, chunkBytes: Int) {
        windowMax = min(EngineLimits.readAheadChunksMax, Int(clamping: cacheBytes / 8 / UInt64(chunkBytes)))
    }

    /// A read missed the given pages.
    mutating func miss(chunk: ChunkIndex, pages: Range<Int>, geometry: DiskGeometry) -> Plan {
        uses += 1
        guard let index = streams.firstIndex(where: { follows($0, chunk, pages) }) else {
            remember(
                Stream(
                    chunk: chunk,
                    nextPage: pages.upperBound,
                    frontier: chunk.rawValue + 1,
                    lastUse: uses
                )
            )
            return Plan()
        }
        streams[index].chunk = chunk
        streams[index].nextPage = pages.upperBound
        streams[index].lastUse = uses
        return Plan(wholeChunk: true, ahead: extend(index, from: chunk, geometry))
    }

    /// A marked chunk was hit for the first time: the reader has come near the end of what was fetched.
    mutating func reached(_ chunk: ChunkIndex, geometry: DiskGeometry) -> [ChunkIndex] {
        uses += 1
        guard
            let index = streams.firstIndex(where: {
                chunk.rawValue >= $0.chunk.rawValue && chunk.rawValue < $0.frontier
            })
        else { return [] }
        streams[index].chunk = chunk
        streams[index].nextPage = 0
        streams[index].lastUse = uses
        return extend(index, from: chunk, geometry)
    }

    /// Sequential: a little further in the same chunk, or at the beginning of the next. Readers that send several
    /// requests at a time arrive a little out of order.
    private func follows(_ stream: Stream, _ chunk: ChunkIndex, _ pages: Range<Int>) -> Bool {
        let slack = 512
        if chunk == stream.chunk {
            return pages.lowerBound <= stream.nextPage + slack && pages.lowerBound + slack >= stream.nextPage
        }
        return chunk.rawValue > stream.chunk.rawValue
            && chunk.rawValue <= max(stream.frontier, stream.chunk.rawValue + 1)
            && pages.lowerBound < slack
    }

    private mutating func extend(_ index: Int, from chunk: ChunkIndex, _ geometry: DiskGeometry) -> [ChunkIndex] {
        let window = min(max(1, streams[index].window * 2), windowMax)
        streams[index].window = window
        let first = max(streams[index].frontier, chunk.rawValue + 1)
        let end = min(chunk.rawValue + 1 + UInt64(window), geometry.chunkCount)
        guard first < end else { return [] }
        streams[index].frontier = end
        return (first..<end).map { ChunkIndex($0) }
    }

    private mutating func remember(_ stream: Stream) {
        if streams.count < EngineLimits.readAheadStreams {
            streams.append(stream)
        } else if let oldest = streams.indices.min(by: { streams[$0].lastUse < streams[$1].lastUse }) {
            streams[oldest] = stream
        }
    }
}
