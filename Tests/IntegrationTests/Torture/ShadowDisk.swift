/// One write or punch of one writer, over whole sectors.
struct DiskOperation: Sendable {
    let sequence: UInt64
    let sectors: Range<Int>
    let isPunch: Bool
    /// When it was given to the kernel, and when the kernel had answered, on one clock for all writers.
    let issued: UInt64
    var completed: UInt64?

    /// What its sectors show: the number of the write, 0 for zeros.
    var shows: UInt64 { isPunch ? 0 : sequence }
}

/// What is known of the disk outside of the daemon: every operation, every acknowledged flush, every answered sync.
///
/// ## Notes on the design
/// Time is cut into rounds: one ends when the daemon dies, and the next begins when somebody has looked at what
/// survived. Numbers go on from round to round; what a crash took away never comes back. A value, without I/O: the
/// checkers' own tests feed it damaged images.
///
/// - `durable` and `pending`, by sector, say what a reader may find on this machine: what the last acknowledged flush
///   covered, or anything that was issued later (checker A).
/// - `rounds` hold all operations in order, for the state that the remote alone must show (checker B, in
///   `ShadowDisk+Remote.swift`).
struct ShadowDisk: Sendable {
    struct Layout: Sendable {
        var sectors: Int
        var writers: Int
        var seed: UInt64

        /// Sectors that a writer has in a row, across a chunk's border. One writer has them all.
        private static let stripe = 64
        private static let shift = 40

        func owner(of sector: Int) -> Int { writers == 1 ? 0 : (sector + Self.shift) / Self.stripe % writers }

        /// The longest run from a sector on that has one owner.
        func reach(of sector: Int) -> Int {
            let end =
                writers == 1 ? sectors : (sector + Self.shift) / Self.stripe * Self.stripe + Self.stripe - Self.shift
            return min(sectors, end) - sector
        }
    }

    struct Version: Equatable, Sendable {
        var sequence: UInt64
        var shows: UInt64
    }

    struct Round: Sendable {
        /// What the disk showed at its beginning, by sector.
        var base: [UInt64]
        /// The number before each writer's first operation.
        var before: [UInt64]
        /// By writer.
        var operations: [[DiskOperation]]
        /// By writer: what a sync had to bring to the remote, when one was answered in this round.
        var synced: [UInt64]?
    }

    let layout: Layout
    private(set) var rounds: [Round]
    private(set) var acknowledgedFlushes = 0
    private(set) var durable: [UInt64]
    private(set) var pending: [Int: [Version]] = [:]
    /// By writer: what the next flush makes durable, in order.
    private var unflushed: [[(sequence: UInt64, sectors: Range<Int>)]]
    private var clock: UInt64 = 0
    private var last: [UInt64]

    init(_ layout: Layout) {
        self.layout = layout
        durable = [UInt64](repeating: 0, count: layout.sectors)
        unflushed = Array(repeating: [], count: layout.writers)
        last = Array(repeating: 0, count: layout.writers)
        let none: [[DiskOperation]] = Array(repeating: [], count: layout.writers)
        rounds = [Round(base: durable, before: last, operations: none)]
    }

    // MARK: What the writers say

    /// An operation is about to be given to the kernel.
    ///
    /// - Returns: its number.
    mutating func issue(_ writer: Int, _ sectors: Range<Int>, isPunch: Bool) -> UInt64 {
        clock += 1
        last[writer] += 1
        let operation = DiskOperation(sequence: last[writer], sectors: sectors, isPunch: isPunch, issued: clock)
        rounds[rounds.count - 1].operations[writer].append(operation)
        unflushed[writer].append((operation.sequence, sectors))
        for sector in sectors {
            pending[sector, default: []].append(Version(sequence: operation.sequence, shows: operation.shows))
        }
        return operation.sequence
    }

    /// The kernel has answered the writer's last operation.
    mutating func complete(_ writer: Int) {
        clock += 1
        let round = rounds.count - 1
        rounds[round].operations[writer][rounds[round].operations[writer].count - 1].completed = clock
    }

    /// The highest number of a writer that the kernel has answered.
    func completed(_ writer: Int) -> UInt64 {
        let round = rounds[rounds.count - 1]
        return round.operations[writer].last { $0.completed != nil }?.sequence ?? round.before[writer]
    }

    /// What a sector shows now, when none of its writer's operations is under way.
    func shows(_ sector: Int) -> UInt64 { pending[sector]?.last?.shows ?? durable[sector] }

    /// An fsync was answered that was given to the kernel after operation `through` was answered.
    mutating func flushed(_ writer: Int, through: UInt64) {
        acknowledgedFlushes += 1
        let covered = unflushed[writer].prefix { $0.sequence <= through }
        unflushed[writer].removeFirst(covered.count)
        for sector in covered.flatMap(\.sectors) {
            guard let versions = pending[sector] else { continue }
            guard let newest = versions.last(where: { $0.sequence <= through }) else { continue }
            durable[sector] = newest.shows
            let later = versions.filter { $0.sequence > through }
            pending[sector] = later.isEmpty ? nil : later
        }
    }

    /// `vdrivectl sync` was answered, which was called after these numbers were answered.
    mutating func synced(_ numbers: [UInt64]) {
        let round = rounds.count - 1
        let known = rounds[round].synced ?? rounds[round].before
        rounds[round].synced = zip(known, numbers).map(max)
    }

    // MARK: Checker A

    /// What is wrong with a disk that came up again: every sector holds the newest write that an acknowledged flush
    /// covers, or one that was issued later; never an older one, a torn one, or zeros in its place.
    func complaints(about found: DiskSnapshot) -> [String] {
        var complaints = found.damage
        for (sector, number) in found.numbers.enumerated() where number != durable[sector] {
            let later = pending[sector] ?? []
            if later.contains(where: { $0.shows == number }) { continue }
            let what = number == 0 ? "zeros" : "write \(number)"
            complaints.append(
                "sector \(sector) of writer \(layout.owner(of: sector)): \(what), but the flush covers "
                    + "\(durable[sector] == 0 ? "zeros" : "write \(durable[sector])"), and later came "
                    + "\(later.map { $0.shows == 0 ? "punch \($0.sequence)" : "write \($0.sequence)" })"
            )
        }
        return complaints
    }

    /// The next round begins with what was found, without complaint.
    mutating func beginRound(with found: DiskSnapshot) {
        unflushed = Array(repeating: [], count: layout.writers)
        for (sector, versions) in pending.sorted(by: { $0.key < $1.key }) {
            let number = found.numbers[sector]
            // Until the next flush a power cut may still take it back.
            if number != durable[sector], let survivor = versions.last(where: { $0.shows == number }) {
                pending[sector] = [survivor]
                unflushed[layout.owner(of: sector)].append((survivor.sequence, sector..<sector + 1))
            } else {
                pending[sector] = nil
            }
        }
        for writer in 0..<layout.writers { unflushed[writer].sort { $0.sequence < $1.sequence } }
        let none: [[DiskOperation]] = Array(repeating: [], count: layout.writers)
        rounds.append(Round(base: found.numbers, before: last, operations: none))
    }
}
