import VDriveEngine
import VDriveModel
import VDriveProtocol

/// What the registry tells of its disks.
extension DiskRegistry {
    /// Tells every change of a disk's state, whoever made it: it is called by each change of `entries`.
    func tellChanges(since before: [DiskName: Entry]) {
        guard isLoaded else { return }
        for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
            let state = DiskStatus.state(of: entry)
            guard let old = before[name] else {
                let change = EventPayload.DiskChange(state: state, previous: nil, error: entry.trouble?.message)
                events.publish(.diskAdded(change), disk: name.text)
                continue
            }
            let previous = DiskStatus.state(of: old)
            guard previous != state else { continue }
            let change = EventPayload.DiskChange(state: state, previous: previous, error: entry.trouble?.message)
            events.publish(.diskState(change), disk: name.text)
        }
        for (name, entry) in before where entries[name] == nil {
            let state = DiskStatus.state(of: entry)
            let change = EventPayload.DiskChange(state: state, previous: state, error: nil)
            events.publish(.diskRemoved(change), disk: name.text)
        }
    }

    /// Takes what an attached disk tells, on any thread.
    nonisolated func take(_ report: DiskReport, of name: DiskName) {
        guard let payload = EventPayload(report) else {
            // A failure is a change of the disk's state, which belongs to the registry.
            addWork.yield { await self.lookAtFailure(of: name) }
            return
        }
        events.publish(payload, disk: name.text)
    }

    /// Notes what became of an attached disk that can no longer be written.
    func lookAtFailure(of name: DiskName) async {
        guard case .attached(let attached)? = entries[name]?.phase else { return }
        let snapshot = await attached.disk.status()
        guard case .attached(let still)? = entries[name]?.phase, still.disk === attached.disk,
            snapshot.state != .attached, entries[name]?.failure == nil
        else { return }
        var entry = entries[name]
        entry?.failure = snapshot.state
        entry?.trouble = RPCError(.internal, snapshot.lastError ?? "See the daemon's log.")
        entries[name] = entry
    }
}

extension EventPayload {
    /// Nil for a failure, which only the registry can tell.
    init?(_ report: DiskReport) {
        switch report {
        case .failed: return nil
        case .remote(let state, let previous): self = .remoteState(RemoteChange(state: state, previous: previous))
        case .warning(let kind, let sentence):
            self = .diskWarning(WarningChange(kind: kind, isActive: sentence != nil, message: sentence))
        case .objectLost(let name, let total): self = .diskDamaged(LostObject(object: name, total: total))
        case .committed(let version, let chunks, let bytes):
            self = .uploadCommit(
                Commit(
                    term: version.term.rawValue,
                    epoch: version.epoch.rawValue,
                    chunks: chunks,
                    bytes: bytes
                )
            )
        case .pressure(let writersWait): self = .cachePressure(CachePressure(writersWait: writersWait))
        }
    }
}

extension Disk {
    /// Tells a job how far the uploads have come, as long as a body runs.
    func reportingUploads<Answer: Sendable>(
        to job: JobHandle,
        _ body: @escaping @Sendable () async -> Answer
    ) async -> Answer {
        let start = await uploadProgress()
        job.report(done: 0, of: start.left, .bytes)
        @Sendable func report() async {
            let now = await self.uploadProgress()
            // What is written meanwhile is uploaded too: the total grows by it.
            let done = now.done - start.done
            job.report(done: done, of: done + now.left, .bytes)
        }
        return await withTaskGroup(of: Answer?.self) { group in
            group.addTask {
                let answer = await body()
                await report()
                return answer
            }
            group.addTask {
                while !Task.isCancelled {
                    do { try await Task.sleep(for: .milliseconds(RPCLimits.progressMillisecondsMin)) } catch { break }
                    await report()
                }
                return nil
            }
            var answer: Answer?
            while let next = await group.next() {
                if let next { answer = next }
                group.cancelAll()
            }
            guard let answer else { preconditionFailure("the body has ended without an answer") }
            return answer
        }
    }
}
