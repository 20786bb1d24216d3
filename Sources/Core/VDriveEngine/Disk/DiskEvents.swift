internal import VDriveModel

/// What goes upward: never a call, so that no cycle of awaits can come to be.
enum DiskEvent: Sendable {
    /// Dirty data passed the threshold, or a writer waits for room: seal soon.
    case wantsEpoch
    /// More than the soft limit of the cache is used.
    case wantsCleaning
    /// Frames that a sequential reader will ask for, and the part of the link that is reserved for them.
    case readAhead(ReadAhead.Piece, transfer: Int)
    /// A mapped object is missing or damaged.
    case objectLost(String)
    /// The cache can no longer be written, or trusted to be durable.
    case broken(DiskError)
}

/// Where events wait for whoever serves them. Any thread, and nobody waits to tell one.
///
/// None is lost: a piece of read-ahead that nobody fetches would keep its part of the link for ever. That so many wait
/// is bounded by what they are: wishes for an epoch, which every slow write may have, wait as one; cleanings are asked
/// for one at a time; read-ahead is bounded by the link; a lost object has cost a reader several requests; and a cache
/// breaks once.
final class DiskEvents: Sendable {
    /// Wishes for an epoch. They wait for the uploads at times, which nothing else shall.
    let wishes: AsyncStream<DiskEvent>
    /// Everything else.
    let others: AsyncStream<DiskEvent>
    private let wish: AsyncStream<DiskEvent>.Continuation
    private let other: AsyncStream<DiskEvent>.Continuation

    init() {
        // One that was not taken yet says what any later one would; one that came after it was taken waits.
        (wishes, wish) = AsyncStream.makeStream(of: DiskEvent.self, bufferingPolicy: .bufferingNewest(1))
        (others, other) = AsyncStream.makeStream(of: DiskEvent.self, bufferingPolicy: .unbounded)
    }

    func yield(_ event: DiskEvent) {
        if case .wantsEpoch = event { wish.yield(event) } else { other.yield(event) }
    }

    /// Those who serve take what waits, and end.
    func finish() {
        wish.finish()
        other.finish()
    }
}
