package import Linux

/// A loop device: the disk's image as a block device.
///
/// Notes on the design
/// - 4096-byte sectors, direct I/O, no autoclear: without direct I/O every page would be cached twice, and dirty pages
///   would pile up between the filesystem and the daemon.
/// - `losetup` does the calls (LOOP_CTL_GET_FREE and LOOP_CONFIGURE, again when somebody else was faster), because they
///   ask the image's filesystem, which is the daemon; see `runTool`. What it did is verified in `/sys`, which asks
///   nobody.
package struct LoopDevice: Hashable, Sendable {
    package static let sectorBytes = 4096
    private static let toolSeconds = 60
    /// How long a device may take to go after its detach.
    private static let goneSeconds = 10

    package let number: Int
    /// The image's path as it was when the device was attached or found.
    package let backingFile: String

    package var devicePath: String { "/dev/loop\(number)" }
    private var attributes: String { "/sys/block/loop\(number)" }

    /// Attaches an image.
    ///
    /// - Parameter backingFile: an absolute path; its length is a multiple of 4096 bytes.
    /// - Throws: `failed` when it cannot be attached, or when direct I/O is not really on; nothing stays attached then.
    package static func attach(
        backingFile: String,
        isReadOnly: Bool = false,
        on threads: BlockingThreads
    ) async throws(HostError) -> LoopDevice {
        try await threads.run { () throws(HostError) in
            var arguments = [
                "losetup", "--find", "--show", "--direct-io=on", "--sector-size", "\(sectorBytes)",
            ]
            if isReadOnly { arguments.append("--read-only") }
            let output = try runTool(arguments + ["--", backingFile], timeoutSeconds: toolSeconds)
            let name = output.split(whereSeparator: \.isNewline).last { $0.hasPrefix("/dev/loop") }
            guard let name, let number = Int(name.dropFirst("/dev/loop".count)) else {
                throw HostError(.failed, "losetup named no device for \(backingFile).")
            }
            let device = LoopDevice(number: number, backingFile: backingFile)
            do throws(HostError) {
                try device.verify()
            } catch {
                // The first failure is the one to report.
                try? device.detachNow()
                throw error
            }
            return device
        }
    }

    /// All loop devices whose backing file is at this path, also when the file has been deleted since. Never asks the
    /// file's filesystem.
    package static func find(backingFile: String) throws(HostError) -> [LoopDevice] {
        let names: [String]
        do {
            names = try Directory.list("/sys/block")
        } catch {
            throw HostError(.failed, "The block devices cannot be listed: \(error).")
        }
        return names.compactMap { name in
            guard name.hasPrefix("loop"), let number = Int(name.dropFirst("loop".count)) else { return nil }
            let device = LoopDevice(number: number, backingFile: backingFile)
            return device.isAttached ? device : nil
        }.sorted { $0.number < $1.number }
    }

    /// Whether the device still stands for the backing file.
    package var isAttached: Bool {
        guard let file = try? readText("\(attributes)/loop/backing_file") else { return false }
        return file == backingFile || file == backingFile + " (deleted)"
    }

    /// The device's number, as the table of mounts has it.
    package func deviceNumber() throws(HostError) -> DeviceNumber {
        guard let number = DeviceNumber(try attribute("dev")) else {
            throw HostError(.failed, "\(devicePath) has no device number.")
        }
        return number
    }

    /// The size in bytes.
    package func bytes() throws(HostError) -> UInt64 {
        // Always in 512 bytes, whatever the sectors are.
        (UInt64(try attribute("size")) ?? 0) * 512
    }

    /// Sets how far the kernel reads ahead of a sequential reader of the filesystem, in KiB.
    package func setReadAhead(kibibytes: Int) throws(HostError) {
        try setAttribute("queue/read_ahead_kb", "\(kibibytes)")
        guard Int(try attribute("queue/read_ahead_kb")) == kibibytes else {
            throw HostError(.failed, "\(devicePath) does not take a read-ahead of \(kibibytes) KiB.")
        }
    }

    /// Sets the queue up for a device behind which another scheduler sits: no scheduler of its own.
    ///
    /// - Parameter depth: requests at the same time, 1 or more; the kernel's own maximum, 128, is kept when it is less.
    package func tuneQueue(depth: Int = 128) throws(HostError) {
        if try attribute("queue/scheduler").contains("none") { try setAttribute("queue/scheduler", "none") }
        let offered = Int(try attribute("queue/nr_requests")) ?? depth
        if depth < offered { try setAttribute("queue/nr_requests", "\(depth)") }
    }

    /// Makes the device as large as its image is now.
    package func updateCapacity(on threads: BlockingThreads) async throws(HostError) {
        try await threads.run { () throws(HostError) in
            _ = try runTool(["losetup", "--set-capacity", devicePath], timeoutSeconds: Self.toolSeconds)
        }
    }

    /// Detaches, and waits until the device is gone. No error when it is gone already.
    ///
    /// - Throws: `busy` when somebody has it open; the kernel then detaches it when the last one closes it.
    package func detach(on threads: BlockingThreads) async throws(HostError) {
        try await threads.run { () throws(HostError) in try detachNow() }
    }

    func detachNow() throws(HostError) {
        guard isAttached else { return }
        do {
            _ = try runTool(["losetup", "--detach", devicePath], timeoutSeconds: Self.toolSeconds)
        } catch {
            guard isAttached else { return }
            throw error
        }
        // udev and others open a device for a moment whenever something happens to it.
        guard waitUntil(seconds: Self.goneSeconds, { !isAttached }) else {
            let users = ProcessScan.users(ofDevice: devicePath)
            throw HostError(
                .busy,
                "\(devicePath) is in use\(ProcessScan.sentence(users)); it goes when the last one closes it."
            )
        }
    }

    private func verify() throws(HostError) {
        guard isAttached else { throw HostError(.failed, "\(devicePath) does not stand for \(backingFile).") }
        guard try attribute("loop/dio") == "1" else {
            throw HostError(.failed, "The filesystem of \(backingFile) does not allow direct I/O.")
        }
        guard try attribute("queue/logical_block_size") == "\(Self.sectorBytes)" else {
            throw HostError(.failed, "\(devicePath) has not taken sectors of \(Self.sectorBytes) bytes.")
        }
        guard try bytes() > 0 else { throw HostError(.failed, "\(backingFile) is empty.") }
    }

    private func attribute(_ name: String) throws(HostError) -> String {
        do {
            return try readText("\(attributes)/\(name)")
        } catch {
            throw HostError(.failed, "\(attributes)/\(name) cannot be read: \(error).")
        }
    }

    private func setAttribute(_ name: String, _ value: String) throws(HostError) {
        do {
            try writeText(value, to: "\(attributes)/\(name)")
        } catch {
            throw HostError(.failed, "\(attributes)/\(name) does not take \(value): \(error).")
        }
    }
}
