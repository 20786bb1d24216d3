package import Linux

/// What a daemon that died has left: a FUSE mount that nobody serves, the loop devices on its image, and the
/// filesystems on those.
///
/// Cleaned from the top down: filesystems, loop devices, FUSE mount. Whatever cannot go at once is taken out of the
/// tree (lazily), and goes when its last user does. A second run finds nothing, and does nothing.
package struct StaleMounts: Sendable {
    /// What was cleaned, for the log.
    package struct Report: Hashable, Sendable {
        package var unmounted: [String] = []
        package var detached: [String] = []
        /// Out of the tree, or about to go, but still used by somebody.
        package var lingering: [String] = []

        package init(unmounted: [String] = [], detached: [String] = [], lingering: [String] = []) {
            self.unmounted = unmounted
            self.detached = detached
            self.lingering = lingering
        }

        package var isEmpty: Bool { unmounted.isEmpty && detached.isEmpty && lingering.isEmpty }
    }

    private static let patienceSeconds = 3
    private static let askSeconds = 10

    /// Where the daemon mounts its FUSE filesystem.
    package let fuseFolder: String
    /// The image in it.
    package let image: String

    package init(fuseFolder: String, imageName: String) {
        self.fuseFolder = fuseFolder
        image = "\(fuseFolder)/\(imageName)"
    }

    /// - Throws: `busy` when a living daemon serves the FUSE mount; then nothing was touched.
    package func clean(on threads: BlockingThreads) async throws(HostError) -> Report {
        try await threads.run { () throws(HostError) in
            try refuseLiving()
            var report = Report()
            for device in try LoopDevice.find(backingFile: image) { try clean(device, &report) }
            while let entry = try MountTable.current().entry(at: fuseFolder), entry.isFuse {
                try MountPoint(fuseFolder).unmountNow(whenBusy: .detach(afterSeconds: 0))
                report.unmounted.append(fuseFolder)
            }
            return report
        }
    }

    /// A FUSE mount whose daemon is gone answers with ENOTCONN what the kernel has to ask. It asks for every statfs,
    /// while attributes may be known for another second. Asked by a child, because a daemon that hangs would let the
    /// one who asks hang too.
    private func refuseLiving() throws(HostError) {
        guard let entry = try MountTable.current().entry(at: fuseFolder), entry.isFuse else { return }
        do throws(HostError) {
            _ = try runTool(
                ["stat", "--file-system", "--format=%T", "--", fuseFolder],
                timeoutSeconds: Self.askSeconds
            )
        } catch {
            if error.message.contains("\(Errno.notConnected.text)") { return }
        }
        throw HostError(.busy, "Another daemon serves \(fuseFolder); stop it first.")
    }

    private func clean(_ device: LoopDevice, _ report: inout Report) throws(HostError) {
        let number = try device.deviceNumber()
        while let entry = try MountTable.current().entries(on: number).last {
            try MountPoint(entry.path).unmountNow(whenBusy: .detach(afterSeconds: Self.patienceSeconds))
            report.unmounted.append(entry.path)
        }
        do {
            try device.detachNow()
            report.detached.append(device.devicePath)
        } catch {
            // The kernel has it marked by now, and lets it go with its last user.
            guard error.kind == .busy else { throw error }
            report.lingering.append(device.devicePath)
        }
    }
}
