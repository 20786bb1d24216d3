internal import VDriveModel

/// Tells sequential readers from random ones, and says what to fetch before it is asked for. A value without clock, I/O
/// or await.
///
/// ## Notes on the design
/// It counts in frames over the whole disk; those of a backward reader are counted from the disk's end, so that both
/// directions are the same.
///
///     read ──▶ next ── fetched, or under way ──▶ begun ── wanted ──▶ frontier = next + window
///
/// - Only misses come here, and the first hit on each chunk that was fetched ahead. A window doubles with each of them,
///   up to what the caller allows: the link, the cache and the memory bound it.
/// - A reader is sequential when a miss begins where an earlier one ended, or ends where it began. Readers that send
///   several large requests at a time arrive a little out of order: a gap of a few requests is waited for, a single
///   frame must be exact, and entered at its edge, so that random readers of small pieces stay random.
/// - A reader that jumps begins a new stream. What its old one wanted and nobody has begun to fetch is dropped when the
///   new one turns out to be sequential and the old one has shown no life since, or when nothing was heard of it for
///   long. A stream that was not dead wants it again with its next sign of life.
/// - A stream's own hits are not seen: its reader is known again where it waits for what is under way.
/// - What was fetched and evicted unread counts against all: beyond a quarter nothing but the least window is left.
struct ReadAhead {
    /// Neighbouring frames of one chunk.
    struct Piece: Hashable, Sendable {
        var chunk: ChunkIndex
        var frames: Range<Int>
    }

    private struct Stream {
        let isBackward: Bool
        /// Where it began.
        let origin: UInt64
        /// The end of what the reader asked for.
        var next: UInt64
        /// The end of what was given out to be fetched; not before `next`.
        var begun: UInt64
        /// The end of what is wanted; not before `begun`.
        var frontier: UInt64
        var window: UInt64
        var lastUse: UInt64
        var lastServed: UInt64
    }

    /// A read that missed.
    private struct Miss {
        let frames: Range<UInt64>
        let isUnderWay: Bool
        /// Whether it lies where a reader comes into its first frame, or, going backward, into its last one: at the
        /// edge, or a few requests of its size away from it. Large ones do always.
        let leads: (forward: Bool, backward: Bool)
    }

    /// What was read once, or by a few requests at a time: perhaps the beginning of a stream.
    private struct Start {
        var frames: Range<UInt64>
        let born: UInt64
        var lastUse: UInt64
    }

    private let geometry: DiskGeometry
    private let framesTotal: UInt64
    private var streams: [Stream] = []
    private var starts: [Start] = []
    private var uses: UInt64 = 0
    private var served: UInt64 = 0
    /// Pages that were fetched ahead and lately read, or evicted unread.
    private var read = 0
    private var wasted = 0

    init(geometry: DiskGeometry) {
        self.geometry = geometry
        framesTotal = geometry.chunkCount * UInt64(geometry.framesPerChunk)
    }

    /// Sequential readers that are told apart, 0 to `EngineLimits.readAheadStreams`.
    var streamCount: Int { streams.count }

    // MARK: What readers do

    /// A read missed pages of a chunk.
    ///
    /// - Parameters:
    ///   - isUnderWay: somebody fetches them already.
    ///   - limit: frames that one stream may be ahead of its reader, 0 or more.
    mutating func miss(_ chunk: ChunkIndex, pages: Range<Int>, isUnderWay: Bool = false, limit: Int) {
        uses += 1
        let base = chunk.rawValue * UInt64(geometry.framesPerChunk)
        let perFrame = geometry.pagesPerFrame
        let last = (pages.upperBound - 1) / perFrame
        let miss = Miss(
            frames: base + UInt64(pages.lowerBound / perFrame)..<base + UInt64(last) + 1,
            isUnderWay: isUnderWay,
            leads: (
                forward: pages.lowerBound % perFrame <= 4 * pages.count,
                backward: (last + 1) * perFrame - pages.upperBound <= 4 * pages.count
            )
        )
        if let index = streams.firstIndex(where: { isTurned($0, by: miss) }) {
            turn(index, miss.frames, limit)
        } else if let index = streams.firstIndex(where: { isReader(of: $0, miss) }) {
            let end = along(streams[index].isBackward, miss.frames).upperBound
            streams[index].lastUse = uses
            // What comes late was waited for already.
            if end > streams[index].next { advance(index, to: end, limit) }
        } else if let index = starts.firstIndex(where: { isNear($0, miss.frames) }) {
            follow(index, miss, limit)
        } else {
            let start = Start(frames: miss.frames, born: uses, lastUse: uses)
            if starts.count < EngineLimits.readAheadStreams {
                starts.append(start)
            } else if let oldest = starts.indices.min(by: { starts[$0].lastUse < starts[$1].lastUse }) {
                starts[oldest] = start
            }
        }
    }

    /// A chunk that was fetched ahead was hit for the first time.
    mutating func reached(_ chunk: ChunkIndex, limit: Int) {
        uses += 1
        let perChunk = UInt64(geometry.framesPerChunk)
        let frames = chunk.rawValue * perChunk..<(chunk.rawValue + 1) * perChunk
        let index = streams.indices.filter { index in
            let stream = streams[index]
            let here = along(stream.isBackward, frames)
            return here.lowerBound < stream.begun && here.upperBound + perChunk > stream.next
        }.max { streams[$0].lastUse < streams[$1].lastUse }
        guard let index else { return }
        streams[index].lastUse = uses
        advance(index, to: along(streams[index].isBackward, frames).lowerBound, limit)
    }

    // MARK: What is wanted

    var wantsMore: Bool { streams.contains(where: isWanting) }

    /// The next piece to fetch: the streams take turns.
    ///
    /// - Parameter count: frames at most, 1 or more.
    mutating func take(upTo count: Int) -> Piece? {
        guard
            let index = streams.indices.filter({ isWanting(streams[$0]) })
                .min(by: { streams[$0].lastServed < streams[$1].lastServed })
        else { return nil }
        let stream = streams[index]
        let perChunk = UInt64(geometry.framesPerChunk)
        let end = min(stream.frontier, stream.begun + UInt64(count), (stream.begun / perChunk + 1) * perChunk)
        served += 1
        streams[index].lastServed = served
        streams[index].begun = end
        let frames = along(stream.isBackward, stream.begun..<end)
        let chunk = frames.lowerBound / perChunk
        let first = Int(frames.lowerBound - chunk * perChunk)
        return Piece(chunk: ChunkIndex(chunk), frames: first..<first + frames.count)
    }

    /// There is no room in the cache: nothing more is wanted until a reader shows life.
    mutating func dropAll() {
        for index in streams.indices { streams[index].frontier = streams[index].begun }
    }

    // MARK: What came of it

    /// Pages that were fetched ahead were read, or left the cache unread.
    mutating func note(pages: Int, wereRead: Bool) {
        if wereRead { read += pages } else { wasted += pages }
        // The recent past counts.
        if read + wasted > EngineLimits.readAheadMemoryPages {
            read /= 2
            wasted /= 2
        }
    }

    /// What is left of a limit after the waste of the recent past.
    func trusted(_ limit: Int) -> Int {
        guard wasted > 0 else { return limit }
        let share = Double(wasted) / Double(max(read + wasted, EngineLimits.readAheadMemoryPages / 8))
        let left = Int(Double(limit) * max(0, 1 - share * Double(EngineLimits.readAheadWasteShare)))
        return max(left, min(limit, EngineLimits.readAheadFramesMin))
    }

    // MARK: Streams

    /// Frames as the stream meets them: a backward one counts from the disk's end.
    private func along(_ isBackward: Bool, _ frames: Range<UInt64>) -> Range<UInt64> {
        isBackward ? framesTotal - frames.upperBound..<framesTotal - frames.lowerBound : frames
    }

    /// How far out of order a request of so many frames may come.
    private func slack(_ frames: Range<UInt64>) -> UInt64 { 4 * UInt64(frames.count - 1) }

    /// Whether a miss is the stream's reader: where its last one ended, or, after hits that are not seen here, at what
    /// is being fetched for it, or at the end of that. Other misses nearby are somebody else's, or a crowd of random
    /// readers would blow up windows wherever two of them met by chance.
    private func isReader(of stream: Stream, _ miss: Miss) -> Bool {
        let here = along(stream.isBackward, miss.frames)
        let slack = slack(miss.frames)
        let leads = stream.isBackward ? miss.leads.backward : miss.leads.forward
        if here.lowerBound <= stream.next + slack {
            return here.upperBound + slack >= stream.next && (leads || here.upperBound <= stream.next)
        }
        if here.lowerBound < stream.begun { return miss.isUnderWay || here.upperBound > stream.begun }
        return here.lowerBound <= stream.begun + slack && (leads || miss.isUnderWay)
    }

    private func isNear(_ start: Start, _ frames: Range<UInt64>) -> Bool {
        let slack = slack(frames)
        return frames.lowerBound <= start.frames.upperBound + slack
            && frames.upperBound + slack >= start.frames.lowerBound
    }

    /// A second miss beside a first one: a stream when they meet, else one request of several that came too early.
    private mutating func follow(_ index: Int, _ miss: Miss, _ limit: Int) {
        let start = starts[index]
        let frames = miss.frames
        starts[index].lastUse = uses
        let old = start.frames
        let isForward = frames.upperBound > old.upperBound && old.contains(frames.lowerBound, orEndsAt: true)
        let isBackward = frames.lowerBound < old.lowerBound && old.contains(frames.upperBound, orEndsAt: true)
        guard isForward != isBackward else {
            starts[index].frames =
                min(old.lowerBound, frames.lowerBound)..<max(old.upperBound, frames.upperBound)
            return
        }
        guard isForward ? miss.leads.forward : miss.leads.backward else { return }
        starts.remove(at: index)
        for other in streams.indices where streams[other].lastUse < start.born {
            streams[other].frontier = streams[other].begun
        }
        let here = along(isBackward, frames)
        let end = here.upperBound
        let stream = Stream(
            isBackward: isBackward,
            origin: min(here.lowerBound, along(isBackward, old).lowerBound),
            next: end,
            begun: end,
            frontier: end,
            window: UInt64(frames.count),
            lastUse: uses,
            lastServed: served
        )
        if streams.count < EngineLimits.readAheadStreams {
            streams.append(stream)
            advance(streams.count - 1, to: end, limit)
        } else if let oldest = streams.indices.min(by: { streams[$0].lastUse < streams[$1].lastUse }) {
            streams[oldest] = stream
            advance(oldest, to: end, limit)
        }
    }

    /// Whether a young stream turns out to run the other way: a read of a backward reader that the kernel cuts into
    /// pieces begins with two neighbours in forward order, and the other way round.
    private func isTurned(_ stream: Stream, by miss: Miss) -> Bool {
        let frames = miss.frames
        guard stream.isBackward ? miss.leads.forward : miss.leads.backward else { return false }
        let other = along(!stream.isBackward, frames)
        let origin = framesTotal - stream.origin
        return stream.next - stream.origin <= 4 * UInt64(frames.count)
            && other.lowerBound <= origin + slack(frames) && other.upperBound > origin
    }

    private mutating func turn(_ index: Int, _ frames: Range<UInt64>, _ limit: Int) {
        let old = streams[index]
        let end = along(!old.isBackward, frames).upperBound
        streams[index] = Stream(
            isBackward: !old.isBackward,
            origin: framesTotal - old.next,
            next: end,
            begun: end,
            frontier: end,
            window: UInt64(frames.count),
            lastUse: uses,
            lastServed: old.lastServed
        )
        advance(index, to: end, limit)
    }

    private mutating func advance(_ index: Int, to end: UInt64, _ limit: Int) {
        var stream = streams[index]
        stream.next = max(stream.next, end)
        stream.begun = max(stream.begun, stream.next)
        stream.window = min(max(1, stream.window) * 2, UInt64(trusted(limit)))
        stream.frontier = max(stream.frontier, stream.begun, min(stream.next + stream.window, framesTotal))
        streams[index] = stream
    }

    private func isWanting(_ stream: Stream) -> Bool {
        stream.begun < stream.frontier && uses - stream.lastUse <= EngineLimits.readAheadSilence
    }
}

extension Range<UInt64> {
    fileprivate func contains(_ bound: UInt64, orEndsAt: Bool) -> Bool { contains(bound) || bound == upperBound }
}
