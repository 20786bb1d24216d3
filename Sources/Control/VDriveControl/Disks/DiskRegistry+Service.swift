import Logging
import ServiceLifecycle
import VDriveProtocol

extension DiskRegistry {
    /// The waits between two attempts to attach a disk at the daemon's start, in seconds; the last one repeats.
    private static let retrySeconds = [1, 2, 5, 10, 20, 40, 60]

    /// Reads the disks' files. Call it once, before `run` and before the first request.
    package func load() {
        let (disks, errors) = DiskConfiguration.load(from: layout)
        for disk in disks { entries[disk.name] = Entry(configuration: disk) }
        isLoaded = true
        loadErrors = errors
        for error in errors { logger.error("a disk is left out", metadata: ["error": "\(error)"]) }
    }

    /// Attaches what was attached when the daemon ended, then carries all disks until the graceful shutdown, and
    /// detaches them.
    package func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                // Throws when cancelled, which ends the disks no less.
                try? await gracefulShutdown()
                await self.stopAll()
                self.addWork.finish()
            }
            for name in entries.keys.sorted() where entries[name]?.configuration.isAttachedAtStart == true {
                group.addTask { await self.attachAtStart(name) }
            }
            for await work in work { group.addTask { await work() } }
        }
    }

    /// Makes a shutdown that waits for a remote give up waiting; what is dirty stays on this machine.
    package func hurry() {
        isHurried = true
    }

    /// Tries until it is attached, or until somebody decides otherwise: the network may come up after the daemon.
    private func attachAtStart(_ name: DiskName) async {
        for attempt in 0... {
            guard !isStopping, let entry = entries[name], entry.configuration.isAttachedAtStart,
                case .detached = entry.phase
            else { return }
            do throws(RPCError) {
                let plan = AttachSequence.Plan(
                    configuration: entry.configuration,
                    filesystem: entry.configuration.filesystem,
                    mountPoint: try Self.mountPoint(nil, entry.configuration),
                    isReadOnly: entry.configuration.isReadOnly
                )
                return try await jobs.track(.diskAttach, disk: name.text) { (job) throws(RPCError) in
                    try await self.attach(plan, explicit: nil, job)
                }
            } catch {
                logger.error("attaching failed", metadata: ["disk": "\(name)", "error": "\(error)"])
                guard error.code == .retry || error.code == .busy else { return }
            }
            let seconds = Self.retrySeconds[min(attempt, Self.retrySeconds.count - 1)]
            do {
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(seconds)) }
            } catch {
                return
            }
        }
    }

    /// Detaches all disks at the same time, leaving them to be attached at the next start.
    private func stopAll() async {
        isStopping = true
        events.publish(.daemonStopping, disk: nil)
        await withDiscardingTaskGroup { group in
            for name in entries.keys { group.addTask { await self.stop(name) } }
        }
    }

    private func stop(_ name: DiskName) async {
        // An attach or a detach that runs comes to its end first; both are bounded, or end with the remote's deadline.
        // A destroy stops by itself, and goes on when it is asked for again.
        while true {
            switch entries[name]?.phase {
            case .attached(let attached)?:
                entries[name]?.phase = .detaching(attached)
                await sequence.shutDown(attached) { await self.isHurried }
                entries[name]?.phase = .detached
                return
            case .detached?, nil: return
            case .attaching?, .detaching?, .destroying?: break
            }
            // Cancelled or not, this must go on: a disk that is left running keeps `run` from returning.
            await host.pause(milliseconds: 50)
        }
    }
}
