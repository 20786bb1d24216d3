/// Checker B: what the remote alone shows is the disk at one instant.
extension ShadowDisk {
    /// The instant that an image shows.
    struct Instant: Equatable, Sendable {
        /// Counted from 0.
        var round: Int
        /// By writer: everything up to here is there.
        var numbers: [UInt64]
    }

    /// How far one writer may have come in an image: everything up to `whole` is there; `touched` is the same number,
    /// or the one after it, of which some sectors are there.
    private struct Reach {
        var whole: UInt64
        var touched: UInt64
    }

    enum Verdict: Sendable {
        case instant(Instant)
        case wrong([String])
    }

    /// Finds the newest instant that an image can be.
    ///
    /// An instant is a round, and in it a number for each writer: the image is what the round began with, and every
    /// operation up to that number. Of the operation after it, which was under way, sectors may be there. Instants of
    /// several writers agree with the clock: who sees an operation sees all that were answered before it was issued.
    /// And no instant is before the last answered sync.
    func judge(_ found: DiskSnapshot) -> Verdict {
        guard found.damage.isEmpty else { return .wrong(found.damage) }
        for number in rounds.indices.reversed() {
            if let numbers = instant(in: rounds[number], found) {
                return .instant(Instant(round: number, numbers: numbers))
            }
            // Whatever was there at the sync is there for ever.
            if rounds[number].synced != nil { break }
        }
        return .wrong(explain(found))
    }

    private func instant(in round: Round, _ found: DiskSnapshot) -> [UInt64]? {
        var open: [ArraySlice<Reach>] = []
        for writer in 0..<layout.writers {
            let reaches = reaches(of: writer, in: round, found)
            let floor = round.synced?[writer] ?? round.before[writer]
            open.append(reaches.drop { $0.whole < floor })
        }
        // The least that fits: whoever must go further makes the others go further, and nobody ever goes back.
        while open.allSatisfy({ !$0.isEmpty }) {
            var isSettled = true
            for writer in 0..<layout.writers {
                var least = round.before[writer]
                for other in 0..<layout.writers {
                    least = max(least, needed(of: writer, by: other, touched: open[other].first!.touched, in: round))
                }
                let before = open[writer].count
                open[writer] = open[writer].drop { $0.whole < least }
                if open[writer].isEmpty { return nil }
                if open[writer].count != before { isSettled = false }
            }
            if isSettled { return open.map { $0.first!.whole } }
        }
        return nil
    }

    /// What of a writer must be there when another one's operation is.
    private func needed(of writer: Int, by other: Int, touched: UInt64, in round: Round) -> UInt64 {
        guard writer != other, touched > round.before[other] else { return round.before[writer] }
        let issued = round.operations[other][Int(touched - round.before[other] - 1)].issued
        return round.operations[writer].last { $0.completed.map { $0 < issued } ?? false }?.sequence
            ?? round.before[writer]
    }

    /// Every number that an image can be at, for one writer's sectors; in order.
    private func reaches(of writer: Int, in round: Round, _ found: DiskSnapshot) -> [Reach] {
        var state = round.base
        var wrong = state.indices.count { layout.owner(of: $0) == writer && state[$0] != found.numbers[$0] }
        var reaches: [Reach] = []
        let before = round.before[writer]
        if wrong == 0 { reaches.append(Reach(whole: before, touched: before)) }
        for operation in round.operations[writer] {
            var wrongInside = 0
            var isMixed = true
            for sector in operation.sectors {
                if state[sector] != found.numbers[sector] {
                    wrongInside += 1
                    if found.numbers[sector] != operation.shows { isMixed = false }
                }
            }
            if isMixed, wrongInside > 0, wrong == wrongInside {
                reaches.append(Reach(whole: operation.sequence - 1, touched: operation.sequence))
            }
            wrong -= wrongInside
            for sector in operation.sectors {
                state[sector] = operation.shows
                if operation.shows != found.numbers[sector] { wrong += 1 }
            }
            if wrong == 0 { reaches.append(Reach(whole: operation.sequence, touched: operation.sequence)) }
        }
        return reaches
    }

    /// Compares with the state at the highest numbers present, and with the floor.
    private func explain(_ found: DiskSnapshot) -> [String] {
        var highest = Array(repeating: UInt64(0), count: layout.writers)
        for (sector, number) in found.numbers.enumerated() {
            highest[layout.owner(of: sector)] = max(highest[layout.owner(of: sector)], number)
        }
        let index = rounds.lastIndex { round in zip(highest, round.before).contains { $0 > $1 } } ?? 0
        let round = rounds[index]
        var complaints = [
            "the newest numbers present are \(highest), of round \(index); an answered sync demands "
                + "\(rounds.lastIndex { $0.synced != nil }.map { "\(rounds[$0].synced!) of round \($0)" } ?? "nothing")"
        ]
        var state = round.base
        for (writer, operations) in round.operations.enumerated() {
            for operation in operations where operation.sequence <= highest[writer] {
                for sector in operation.sectors { state[sector] = operation.shows }
            }
        }
        for sector in state.indices where state[sector] != found.numbers[sector] {
            complaints.append(
                "sector \(sector) of writer \(layout.owner(of: sector)) shows \(found.numbers[sector]), "
                    + "and showed \(state[sector]) at that instant"
            )
        }
        return complaints
    }
}
