internal import Glibc
internal import Linux
internal import Logging
internal import VDriveFormat
internal import VDriveMetadata
internal import VDriveModel
internal import VDriveStore

/// Attaching: take the local state up, claim a term, read the remote's state, decide what the local state is worth
/// beside it (ordering rule 8), and write the new term's first commit.
///
/// With the remote away, a disk that this state directory still holds is served from what is here, and the rest of the
/// attach (`claim`) is done when the remote is back.
struct Attachment: Sendable {
    let options: DiskOptions
    let descriptor: DiskDescriptor
    let fence: Fence
    let bitmap: BitmapActor

    /// What this machine brings along.
    struct Local: Sendable {
        var known: Superblock?
        var holder: Holder
        var hasDirty: Bool
        /// The cache directory is not the one that the records describe.
        var cacheIsLost: Bool
        /// What people should know of.
        var notices: [String] = []
    }

    struct Outcome: Sendable {
        var superblock: Superblock
        /// The last stop recorded everything.
        var isClean: Bool
        /// Nothing that was clean here is true any more.
        var dropsClean: Bool
        var notices: [String]
    }

    /// What this machine's state is worth beside the remote's.
    enum Verdict: Sendable {
        case fresh
        case goOn
        case otherWrote
    }

    /// The remote's state, and what ours is worth beside it.
    struct Survey: Sendable {
        /// What the disk goes on from.
        var chain: [CommitRecord]
        var verdict: Verdict
        /// The remote's highest commit; beyond the chain when that leaves out one of ours that nobody here has seen.
        var newest: ObjectVersion?

        var leavesOutOurs: Bool { newest != chain.last?.version }
    }

    /// The whole of it, online.
    func run() async throws(DiskError) -> Outcome {
        let local = try await open()
        // What would be refused anyway must not take the disk away from its owner.
        if local.hasDirty { _ = try await survey(local) }
        if let sabotaged = try await goOnInOldTerm(local) { return sabotaged }
        let (claimed, holder) = try await claimTerm(local)
        var claimedLocal = local
        claimedLocal.holder = holder
        do throws(DiskError) {
            try await Faults.at(.recoverAfterClaim)
            // After the claim: whoever commits now sees it.
            let survey = try await survey(claimedLocal)
            try await Faults.at(.recoverAfterStateRead)
            if survey.verdict != .goOn { try await bitmap.reset() }
            try await bitmap.adopt(survey.chain)
            let superblock = try await begin(claimed, survey, known: local.known)
            return Outcome(
                superblock: superblock,
                isClean: (local.known?.isClean ?? false) && !local.cacheIsLost,
                dropsClean: survey.verdict != .goOn,
                notices: local.notices
            )
        } catch {
            if error.kind != .fenced, !claimed.wasHeld, !local.hasDirty { try? await giveBack(claimed.term) }
            throw error
        }
    }

    /// The disk goes back to what it was before the attach that failed: anybody's. Noted first, as at a detach.
    private func giveBack(_ term: Term) async throws(DiskError) {
        try await bitmap.noteRelease()
        try await fence.claims.release(term)
    }

    /// Serves what is here, without the remote.
    ///
    /// - Parameter isMounted: whether it is for a guest, whose disk must go on from what it sees now.
    /// - Throws: `retry` when another machine may have written since.
    func runOffline(isMounted: Bool) async throws(DiskError) -> Outcome {
        let local = try await open()
        guard var superblock = local.known, !superblock.isReleased, superblock.head != nil else {
            throw DiskError(.retry, "The remote at \(options.store.brief.location) cannot be reached.")
        }
        let isClean = superblock.isClean && !local.cacheIsLost
        superblock.isClean = false
        if isMounted { superblock.servedAlone = true }
        superblock.cacheID = try cacheID(superblock)
        var noted = MetadataBatch()
        noted.superblock = superblock
        try await bitmap.note(noted)
        try await bitmap.adopt(try await bitmap.knownCommits())
        return Outcome(superblock: superblock, isClean: isClean, dropsClean: false, notices: local.notices)
    }

    /// The rest of an attach that began without the remote; the disk is being served.
    ///
    /// - Throws: `diverged` or `fenced` when another machine has written meanwhile.
    func claimWhileServing(_ known: Superblock, hasDirty: Bool) async throws(DiskError) -> Superblock {
        let local = Local(known: known, holder: try holder(), hasDirty: hasDirty, cacheIsLost: false)
        _ = try await survey(local)
        let (claimed, _) = try await claimTerm(local)
        let survey = try await survey(local)
        guard survey.verdict == .goOn else {
            try? await fence.claims.release(claimed.term)
            throw DiskError(
                .fenced,
                "Another machine has written to this disk while its remote could not be reached from here; "
                    + "detach it and attach it again."
            )
        }
        try await bitmap.adopt(survey.chain)
        return try await begin(claimed, survey, known: local.known)
    }

    /// The remote's state as it is now, to be read: no term is claimed, and nothing is written to the remote.
    ///
    /// - Throws: `refused` when this machine holds changes that are not on the remote.
    func runReadOnly() async throws(DiskError) -> Outcome {
        let local = try await open()
        guard !local.hasDirty else {
            throw DiskError(
                .refused,
                "Changes of this machine wait in \(options.cacheDirectory) for their upload; attach the disk to be "
                    + "written first."
            )
        }
        let survey = try await survey(local)
        let known = survey.verdict == .goOn ? local.known : nil
        if survey.verdict != .goOn { try await bitmap.reset() }
        try await bitmap.adopt(survey.chain)
        var superblock = Superblock(
            id: descriptor.disk,
            diskBytes: descriptor.geometry.diskBytes,
            chunkBytes: descriptor.geometry.chunkBytes,
            term: local.known?.term ?? Term(0),
            head: survey.chain.last?.version,
            cacheID: try cacheID(local.known),
            isClean: false,
            allocationIsComplete: known?.allocationIsComplete ?? survey.chain.isEmpty
        )
        // What this machine does not hold it may not serve without its remote.
        superblock.isReleased = known?.isReleased ?? true
        superblock.kept = known?.kept ?? []
        superblock.servedAlone = known?.servedAlone ?? false
        var noted = MetadataBatch()
        noted.superblock = superblock
        noted.descriptor = descriptor.encode()
        try await bitmap.note(noted)
        return Outcome(
            superblock: superblock,
            isClean: (local.known?.isClean ?? false) && !local.cacheIsLost,
            dropsClean: survey.verdict != .goOn,
            notices: local.notices
        )
    }

    private func claimTerm(_ local: Local) async throws(DiskError) -> (TermClaim.Claimed, Holder) {
        var holder = local.holder
        let claimed = try await fence.claims.claim(
            above: local.known?.term ?? Term(0),
            by: &holder,
            softwareVersion: options.softwareVersion,
            takesOver: options.intent.takesOver
        )
        return (claimed, holder)
    }

    // MARK: The remote's state beside ours

    /// Ordering rule 8.
    func survey(_ local: Local) async throws(DiskError) -> Survey {
        let head = try await fence.head()
        var chain: [CommitRecord] = []
        if let head { chain = try await fence.chain(to: head) }
        var survey = Survey(chain: chain, verdict: try compare(local, chain), newest: head)
        // The guest has seen, and written upon, the state before a commit that landed unseen: a disk that took that up
        // now would be of two states. Its term's next commit goes past it.
        if survey.verdict == .goOn, let known = local.known, known.servedAlone, let served = known.head, served != head
        {
            survey.chain = try await fence.chain(to: served)
        }
        return survey
    }

    private func compare(_ local: Local, _ chain: [CommitRecord]) throws(DiskError) -> Verdict {
        guard let known = local.known else { return .fresh }
        guard let head = chain.last else {
            // A disk whose very first commit never came to be.
            if known.head == nil { return .goOn }
            throw DiskError(
                .corrupt,
                "The commits of this disk are gone from \(options.store.brief.location); nothing was changed."
            )
        }
        if head.version == known.head || Faults.breaks(.rule8) { return .goOn }
        // Our own commit landed, and the daemon ended before it could note so.
        if head.version.term == known.term, head.parent == known.head { return .goOn }
        // Others had the disk, and wrote nothing.
        if let ours = chain.lastIndex(where: { $0.version == known.head }),
            chain[(ours + 1)...].allSatisfy({ $0.entries.isEmpty && $0.checkpoint == chain[ours].checkpoint })
        {
            return .goOn
        }
        if local.hasDirty, !options.intent.discardsLocal {
            throw DiskError(
                .diverged,
                "Another machine has written to this disk (term \(head.version.term)) while changes of this one wait "
                    + "in \(options.cacheDirectory); attach with --discard-local to give these up, or with "
                    + "--keep-local-as NEWNAME to make a disk of them. Nothing was changed."
            )
        }
        return .otherWrote
    }

    // MARK: The first commit

    /// The new term's first commit: the same state, under the new term.
    private func begin(
        _ claimed: TermClaim.Claimed,
        _ survey: Survey,
        known: Superblock?
    ) async throws(DiskError) -> Superblock {
        let parent = survey.chain.last
        var superblock = Superblock(
            id: descriptor.disk,
            diskBytes: descriptor.geometry.diskBytes,
            chunkBytes: descriptor.geometry.chunkBytes,
            term: claimed.term,
            head: parent?.version,
            cacheID: try cacheID(known),
            isClean: false,
            allocationIsComplete: survey.verdict == .goOn
                ? known?.allocationIsComplete ?? false : survey.chain.isEmpty
        )
        superblock.kept = keptEpochs(claimed, parent, survey.verdict == .goOn ? known : nil)
        // The term is noted first: a commit of it that lands must be known as ours. So must the one that is left out,
        // and it is by its own term; the first commit of this one changes nothing, which is enough to know it by.
        var noted = MetadataBatch()
        noted.superblock = superblock
        if survey.leavesOutOurs, let known {
            noted.superblock?.term = known.term
            noted.superblock?.servedAlone = true
        }
        noted.descriptor = descriptor.encode()
        try await bitmap.note(noted)
        try await Faults.at(.recoverAfterTermNoted)
        let record = CommitRecord(
            version: ObjectVersion(term: claimed.term, epoch: survey.newest?.epoch.next ?? Epoch(1)),
            parent: parent?.version,
            diskBytes: descriptor.geometry.diskBytes,
            allocatedChunks: parent?.allocatedChunks ?? 0,
            checkpoint: parent?.checkpoint,
            createdAt: UInt64(time(nil)),
            entries: []
        )
        do throws(StoreError) {
            try await options.store.brief.put(record.name, record.encode(disk: descriptor.disk))
        } catch {
            throw DiskError(error)
        }
        try await Faults.at(.recoverAfterFirstCommit)
        if let higher = try await fence.higherTerm(than: claimed.term) {
            throw DiskError(.fenced, "Another machine attached this disk at the same moment (term \(higher)).")
        }
        superblock.head = record.version
        let batch = try await bitmap.prepare(record, checkpoint: nil, garbage: [], superblock: superblock)
        try await bitmap.note(batch)
        try await bitmap.committed(record, checkpoint: nil)
        fence.checkpoint.set(record.checkpoint)
        await fence.hint(record.version)
        return superblock
    }

    /// Whoever was taken over from may hold changes that only make sense upon the state of that moment.
    private func keptEpochs(_ claimed: TermClaim.Claimed, _ parent: CommitRecord?, _ known: Superblock?) -> [KeptEpoch]
    {
        let now = UInt64(time(nil))
        var kept = (known?.kept ?? []).filter { $0.until > now }
        if claimed.tookOver, let parent {
            kept.append(KeptEpoch(epoch: parent.version.epoch, until: now + EngineLimits.keptSeconds))
        }
        return Array(kept.suffix(KeptEpoch.countMax))
    }
}
