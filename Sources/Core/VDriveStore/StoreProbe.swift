internal import VDriveModel

/// Finds out what a remote really does, by doing it: what servers say of themselves is often wrong.
///
/// Everything lies under fresh `probe-…` names and is deleted again; what cannot be deleted is left behind rather than
/// making a good remote look bad.
package enum StoreProbe {
    /// Callers of one race.
    private static let racers = 8
    /// Races that a primitive must come through, each with exactly one winner.
    private static let rounds = 6
    private static let lostRoundsMax = 4
    /// More than there are racers, each of whom may keep the others out once.
    private static let triesPerRacer = 20
    /// Bytes of the object that `checkWritable` writes: more than one frame, and no round number.
    private static let probeBytes = 150_001

    /// The first of the store's primitives that is exclusive when it is tried twice and in a small race.
    ///
    /// - Parameter folder: where to try, a relative path, or "" for the top.
    /// - Returns: nil when no primitive is exclusive.
    /// - Throws: when the store cannot be reached or refuses writes; a primitive that it does not know is passed over.
    package static func claimPrimitive(
        of store: any ObjectStore,
        in folder: String
    ) async throws(StoreError) -> ClaimPrimitive? {
        for primitive in store.claimPrimitives where try await isExclusive(primitive, on: store, in: folder) {
            return primitive
        }
        return nil
    }

    /// Writes an object, reads it back whole and in part, and deletes it.
    ///
    /// - Throws: the store's error, or `corrupt` when what comes back is not what was written.
    package static func checkWritable(_ store: any ObjectStore) async throws(StoreError) {
        let name = freshName(in: "")
        var generator = SystemRandomNumberGenerator()
        let body = (0..<probeBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        do throws(StoreError) {
            try await store.put(name, body)
            let whole = try await store.get(name, range: nil)
            let part = probeBytes / 3..<probeBytes / 2
            let cut = try await store.get(name, range: part)
            guard whole == body, cut == Array(body[part]), try await store.length(of: name) == body.count else {
                throw StoreError(
                    .corrupt,
                    "\(store.location) does not give back what was written to it; it cannot hold a disk."
                )
            }
        } catch {
            try? await store.delete(name)
            throw error
        }
        try await store.delete(name)
        guard try await store.length(of: name) == nil else {
            throw StoreError(.invalid, "\(store.location) says that it deleted an object, and still has it.")
        }
    }

    private static func isExclusive(
        _ primitive: ClaimPrimitive,
        on store: any ObjectStore,
        in folder: String
    ) async throws(StoreError) -> Bool {
        var made: [ObjectName] = []
        let result: Result<Bool, StoreError>
        do throws(StoreError) {
            result = .success(try await runTrials(primitive, on: store, in: folder, made: &made))
        } catch {
            result = error.kind == .unsupported ? .success(false) : .failure(error)
        }
        for name in made { try? await store.delete(name) }
        return try result.get()
    }

    private static func runTrials(
        _ primitive: ClaimPrimitive,
        on store: any ObjectStore,
        in folder: String,
        made: inout [ObjectName]
    ) async throws(StoreError) -> Bool {
        let name = freshName(in: folder)
        made.append(name)
        guard try await store.claim(name, with: primitive), try await !store.claim(name, with: primitive) else {
            return false
        }
        var lostRounds = 0
        var round = 0
        while round < rounds {
            let name = freshName(in: folder)
            made.append(name)
            var winners = 0
            var lost: StoreError?
            for answer in await race(for: name, with: primitive, on: store) {
                switch answer {
                case .success(let hasWon): winners += hasWon ? 1 : 0
                case .failure(let error) where error.kind == .uncertain: lost = error
                case .failure(let error): throw error
                }
            }
            guard winners <= 1 else { return false }
            if let lost {
                // Somebody's answer got lost, so that nothing can be said of this round.
                lostRounds += 1
                if lostRounds > lostRoundsMax { throw lost }
            } else {
                guard winners == 1 else { return false }
                round += 1
            }
        }
        return true
    }

    private static func race(
        for name: ObjectName,
        with primitive: ClaimPrimitive,
        on store: any ObjectStore
    ) async -> [Result<Bool, StoreError>] {
        await withTaskGroup(of: Result<Bool, StoreError>.self) { group in
            for _ in 0..<racers {
                group.addTask { await patientClaim(name, with: primitive, on: store) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Some servers answer 423 while they are busy with another's claim: that is neither won nor lost.
    private static func patientClaim(
        _ name: ObjectName,
        with primitive: ClaimPrimitive,
        on store: any ObjectStore
    ) async -> Result<Bool, StoreError> {
        var triesLeft = triesPerRacer
        while true {
            do throws(StoreError) {
                return .success(try await store.claim(name, with: primitive))
            } catch {
                triesLeft -= 1
                if error.kind != .unavailable || triesLeft == 0 { return .failure(error) }
            }
        }
    }

    private static func freshName(in folder: String) -> ObjectName {
        var generator = SystemRandomNumberGenerator()
        let name = "probe-" + hexadecimal(generator.next(), digits: 16)
        return ObjectName(folder.isEmpty ? name : "\(folder)/\(name)")
    }
}
