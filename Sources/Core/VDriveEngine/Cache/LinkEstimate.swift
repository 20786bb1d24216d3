/// How much read-ahead the link to the remote can carry, from the transfers themselves. A value without clock, I/O or
/// await: whoever calls says what time it is, in seconds on a clock that only goes forward.
///
/// ## Notes on the design
/// A link is full when bandwidth × latency is under way, and whatever is more only makes everybody wait, a demand read
/// above all. So read-ahead may have a small multiple of that product under way, cut into several pieces, since a
/// piece makes way for the next only when all of it is here.
///
/// - Bandwidth: the most that arrived in a second lately. A sample is all that arrived during one transfer, over the
///   time since the arrival before it, so that a small transfer that ends beside a large one is no miracle.
/// - Latency: of the quickest transfer, what its bytes do not explain. Queues of our own would inflate it for ever, so
///   now and then read-ahead stands still for one frame that travels alone.
/// - Both begin low and grow with what arrives: twice the product under way at once makes a round trip carry up to
///   twice as much as the one before it.
struct LinkEstimate {
    private struct Transfer {
        var bytes: Int
        let isAhead: Bool
        var isProbe = false
        /// Nil until it is really under way.
        var start: Double?
        var arrivedBefore = 0
        /// The last arrival before the start, or the start when nothing else was under way.
        var since = 0.0
    }

    private static let gain = 2.0
    /// While somebody waits for something else: the link is full, and its queue short.
    private static let gainBesideDemand = 1.5
    private static let pieces = 6
    private static let rateSeconds = 5.0
    private static let probeSeconds = 15.0

    private let frameBytes: Int
    /// Bytes that read-ahead may ever have under way.
    var budgetMax: Int
    private var transfers: [Int: Transfer] = [:]
    private var lastNumber = 0
    private var arrived = 0
    private var lastArrival = 0.0
    /// Bytes a second: the most of this period, and of the one before it.
    private var rates = (now: 0.0, before: 0.0)
    private var periodStart = 0.0
    private var quickest: (seconds: Double, bytes: Int)?
    private var quickestSince = 0.0
    private var isProbing = false
    /// Bytes on the wire for each byte of a frame: compression.
    private var ratio = 1.0

    /// - Parameters:
    ///   - frameBytes: of a frame before its compression.
    ///   - budgetMax: bytes that read-ahead may ever have under way.
    init(frameBytes: Int, budgetMax: Int) {
        self.frameBytes = frameBytes
        self.budgetMax = budgetMax
    }

    // MARK: What it says

    /// Bytes of read-ahead that may be under way at the same time.
    var budget: Int {
        let least = 2 * frameBytes
        guard let quickest, rate > 0 else { return max(1, min(2 * least, budgetMax)) }
        let transit = Double(quickest.bytes) / rate
        let latency = max(quickest.seconds - transit, quickest.seconds / 2)
        // One frame more, or whole frames could never show that the link carries a part of one more.
        let gain = transfers.values.contains { !$0.isAhead } ? Self.gainBesideDemand : Self.gain
        let wanted = min(gain * rate * latency + Double(frameBytes), Double(EngineLimits.readAheadBytesMax))
        return max(1, min(max(least, Int(wanted)), budgetMax))
    }

    /// The same, in frames before their compression.
    var budgetFrames: Int { max(1, Int(Double(budget) / (Double(frameBytes) * ratio))) }

    /// Frames to fetch with one request.
    var pieceFrames: Int { max(1, min(budgetFrames / Self.pieces, EngineLimits.readAheadPieceFrames)) }

    /// Bytes of read-ahead that are under way, or about to be.
    var aheadBytes: Int { transfers.values.reduce(0) { $0 + ($1.isAhead ? $1.bytes : 0) } }
    var aheadCount: Int { transfers.values.count { $0.isAhead } }

    private var rate: Double { max(rates.now, rates.before) }

    // MARK: What it is told

    /// Reserves a part of the link for a piece of read-ahead.
    ///
    /// - Returns: the transfer's number and the frames that it may carry; nil when the link has enough to do.
    mutating func admit(at now: Double) -> (number: Int, frames: Int)? {
        let isIdle = aheadCount == 0
        if quickest != nil, isProbing || now - quickestSince > Self.probeSeconds {
            guard isIdle else { return nil }
            isProbing = true
            return (add(Transfer(bytes: bytes(of: 1), isAhead: true, isProbe: true)), 1)
        }
        let frames = pieceFrames
        guard isIdle || aheadBytes + bytes(of: frames) <= budget, aheadCount < EngineLimits.readAheadTransfersMax else {
            return nil
        }
        return (add(Transfer(bytes: bytes(of: frames), isAhead: true)), frames)
    }

    /// A request goes out.
    ///
    /// - Parameters:
    ///   - number: of its reservation; nil for what somebody waits for.
    ///   - bytes: on the wire.
    /// - Returns: the transfer's number.
    mutating func begin(_ number: Int?, isAhead: Bool, bytes: Int, frames: Int, at now: Double) -> Int {
        let number = number ?? add(Transfer(bytes: bytes, isAhead: isAhead))
        let isAlone = !transfers.values.contains { $0.start != nil }
        transfers[number]!.bytes = bytes
        transfers[number]!.start = now
        transfers[number]!.arrivedBefore = arrived
        transfers[number]!.since = isAlone ? now : lastArrival
        if frames > 0 {
            let compressed = Double(bytes) / Double(frames * frameBytes)
            ratio += (max(compressed, 1 / 64) - ratio) / 8
        }
        return number
    }

    /// The answer is here, or none will come. A second call for the same transfer does nothing.
    mutating func end(_ number: Int, hasArrived: Bool, at now: Double) {
        guard let transfer = transfers.removeValue(forKey: number) else { return }
        if transfer.isProbe { isProbing = false }
        guard hasArrived, let start = transfer.start else { return }
        arrived += transfer.bytes
        lastArrival = now
        let span = max(now - min(start, transfer.since), 1e-6)
        if now - periodStart > Self.rateSeconds {
            rates = (now: 0, before: rates.now)
            periodStart = now
        }
        rates.now = max(rates.now, Double(arrived - transfer.arrivedBefore) / span)
        let seconds = max(now - start, 1e-6)
        if transfer.isProbe || seconds <= quickest?.seconds ?? .infinity {
            quickest = (seconds, transfer.bytes)
            quickestSince = now
        }
    }

    private func bytes(of frames: Int) -> Int { max(1, Int(Double(frames * frameBytes) * ratio)) }

    private mutating func add(_ transfer: Transfer) -> Int {
        lastNumber += 1
        transfers[lastNumber] = transfer
        return lastNumber
    }
}
