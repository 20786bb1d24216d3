package import Linux

/// The place in the file tree where a disk's filesystem is mounted.
package struct MountPoint: Hashable, Sendable {
    /// What to do when somebody still uses the filesystem.
    package enum WhenBusy: Sendable {
        /// Try for so many seconds, then throw.
        case refuse(afterSeconds: Int)
        /// Try for so many seconds, then take it out of the tree; it goes when the last user does.
        case detach(afterSeconds: Int)
    }

    private static let mountSeconds = 300
    private static let unmountSeconds = 600

    /// Absolute, without a slash at the end.
    package let path: String

    /// - Throws: `unsuitable` for a path that is not absolute, or is the root.
    package init(_ path: String) throws(HostError) {
        // As bytes: where a name begins with an accent, Swift takes that and the slash before it for one character.
        let parts = path.utf8.split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
        guard path.utf8.first == UInt8(ascii: "/"), !parts.isEmpty, !parts.contains("."), !parts.contains("..") else {
            throw HostError(.unsuitable, "\(path) is no place to mount a disk; give an absolute path.")
        }
        self.path = "/" + parts.joined(separator: "/")
    }

    /// Whether anything is mounted exactly here. Does not touch the filesystem.
    package func isMounted() throws(HostError) -> Bool {
        try MountTable.current().entry(at: path) != nil
    }

    /// Mounts a device's filesystem here, and makes the folder where it is missing.
    ///
    /// - Parameters:
    ///   - options: added behind those that `Filesystem.mountOptions` gives.
    ///   - discards: whether deleting files trims the disk at once; `fstrim` now and then does the same, cheaper.
    ///   - isReadOnly: nothing is written to the device either: the journal is not replayed.
    /// - Throws: `busy` when something is mounted here already; `failed` with what mount says. Nothing stays mounted.
    package func mount(
        _ device: LoopDevice,
        as filesystem: Filesystem,
        options: [String] = [],
        discards: Bool = false,
        isReadOnly: Bool = false,
        on threads: BlockingThreads
    ) async throws(HostError) {
        precondition(filesystem != .none, "there is nothing to mount")
        let all =
            filesystem.mountOptions + (discards ? ["discard"] : []) + (isReadOnly ? filesystem.readOnlyOptions : [])
            + options
        try await threads.run { () throws(HostError) in
            if let taken = try MountTable.current().entry(at: path) {
                throw HostError(.busy, "\(taken.source) is mounted on \(path); unmount it, or choose another place.")
            }
            try makeFolder()
            _ = try runTool(
                ["mount", "-t", filesystem.rawValue, "-o", all.joined(separator: ","), "--", device.devicePath, path],
                timeoutSeconds: Self.mountSeconds
            )
            let number = try device.deviceNumber()
            guard try MountTable.current().entry(at: path)?.device == number else {
                // Only what was mounted just now: a path with links in it shows under its real name.
                for entry in try MountTable.current().entries(on: number) {
                    _ = try? runTool(["umount", "--", entry.path], timeoutSeconds: Self.unmountSeconds)
                }
                throw HostError(.failed, "\(path) leads elsewhere, perhaps through a link; give the real path.")
            }
        }
    }

    /// Unmounts what is here, and what is mounted below it. No error when nothing is.
    ///
    /// A plain unmount writes everything out first, so it lasts as long as that.
    ///
    /// - Throws: `busy`, with the names of the processes that use it.
    package func unmount(whenBusy: WhenBusy, on threads: BlockingThreads) async throws(HostError) {
        try await threads.run { () throws(HostError) in try unmountNow(whenBusy: whenBusy) }
    }

    func unmountNow(whenBusy: WhenBusy) throws(HostError) {
        // Things stacked on one path and mounts below it go one by one, the last first.
        while let entry = try topmost() {
            let error: HostError
            do {
                try Self.unmountOne(entry.path, whenBusy: whenBusy)
                continue
            } catch let thrown {
                error = thrown
            }
            guard try topmost() == entry else { continue }
            throw error
        }
    }

    private func topmost() throws(HostError) -> MountTable.Entry? {
        let table = try MountTable.current()
        return table.entry(at: path).map { here in table.entries(below: path).last ?? here }
    }

    private static func unmountOne(_ path: String, whenBusy: WhenBusy) throws(HostError) {
        let seconds: Int
        let detaches: Bool
        switch whenBusy {
        case .refuse(let after): (seconds, detaches) = (after, false)
        case .detach(let after): (seconds, detaches) = (after, true)
        }
        var failure: HostError?
        let isGone = waitUntil(seconds: seconds) {
            do throws(HostError) {
                _ = try runTool(["umount", "--", path], timeoutSeconds: max(seconds, unmountSeconds))
                return true
            } catch {
                failure = error
                return false
            }
        }
        if isGone { return }
        if detaches {
            _ = try runTool(["umount", "--lazy", "--", path], timeoutSeconds: unmountSeconds)
            return
        }
        let users = ProcessScan.users(below: path)
        if users.isEmpty, let failure, !failure.message.contains("busy") { throw failure }
        throw HostError(.busy, "\(path) is in use\(ProcessScan.sentence(users)); stop what uses it, then try again.")
    }

    private func makeFolder() throws(HostError) {
        do throws(Errno) {
            try Directory.createAll(path, mode: 0o755)
        } catch {
            throw HostError(.failed, "The folder \(path) cannot be made: \(error).")
        }
    }
}
