package import Linux

/// The filesystem that a disk is formatted with.
///
/// Measured on sparse images behind a loop device with 4096-byte sectors (2 cores, e2fsprogs 1.47.0, xfsprogs 6.1.0):
///
/// | disk | how | seconds | written |
/// |---|---|---|---|
/// | 1 TiB | ext4, as here, 16 KiB an inode | 0.1 | 14 MiB |
/// | 16 TiB | ext4, mkfs's defaults without discard | 1.6 | 1256 MiB |
/// | 16 TiB | ext4, as here | 0.4 | 202 MiB |
/// | 16 TiB | the same, first mount with `init_itable=0` instead of `noinit_itable` | | 65550 MiB more |
/// | 64 TiB | ext4, as here, 256 KiB an inode | 10.0 | 866 MiB |
/// | 256 TiB | ext4, refused here; mounting it took another 4.6 s | 10.8 | 394 MiB |
/// | 15 TiB | xfs, mkfs's defaults without discard | 0.1 | 2039 MiB |
/// | 16 TiB | xfs, as here | 0.1 | 129 MiB |
/// | 1 PiB | xfs, as here | 1.7 | 180 MiB |
package enum Filesystem: String, CaseIterable, Sendable {
    case ext4, xfs
    /// The user brings a filesystem of their own, or wants the bare device.
    case none

    /// At 256 TiB the group descriptors no longer fit into one group, mkfs spreads them over the whole disk
    /// (`meta_bg`), and every mount reads one chunk every 8 GiB. 64 TiB is the largest that was measured without that.
    package static let ext4BytesMax: UInt64 = 64 << 40
    /// What mkfs.xfs asks for.
    package static let xfsBytesMin: UInt64 = 300 << 20
    private static let formatSeconds = 1800
    private static let probeSeconds = 60

    /// What lies on a device. Only `BlockProbe.Content.empty` may be formatted.
    package static func detect(
        _ device: LoopDevice,
        on threads: BlockingThreads
    ) async throws(HostError) -> BlockProbe.Content {
        try await threads.run { () throws(HostError) in try detectNow(device) }
    }

    /// Makes a new filesystem, where there is nothing yet.
    ///
    /// - Parameters:
    ///   - name: becomes the label, as far as it fits (16 bytes for ext4, 12 for xfs).
    /// - Throws: `notEmpty` when there is anything, and nothing was written; `unsuitable` when the disk has not the
    ///   size for this filesystem; `failed` when mkfs fails, and its traces are wiped.
    package func format(
        _ device: LoopDevice,
        name: String,
        on threads: BlockingThreads
    ) async throws(HostError) {
        guard self != .none else { return }
        try await threads.run { () throws(HostError) in
            let bytes = try device.bytes()
            try checkSize(bytes)
            let content = try Self.detectNow(device)
            guard content == .empty else {
                throw HostError(
                    .notEmpty(content),
                    "The disk is not formatted, because it holds \(content); mount that, or create another disk."
                )
            }
            do throws(HostError) {
                _ = try runTool(
                    formatArguments(bytes: bytes, name: name) + [device.devicePath],
                    timeoutSeconds: Self.formatSeconds
                )
                guard case .filesystem(rawValue, _) = try Self.detectNow(device) else {
                    throw HostError(.failed, "mkfs.\(rawValue) ended well, but there is no \(rawValue) filesystem.")
                }
            } catch {
                // It was empty before. The first failure is the one to report.
                _ = try? runTool(["wipefs", "--all", "--quiet", device.devicePath], timeoutSeconds: Self.probeSeconds)
                throw error
            }
        }
    }

    /// The options to mount with, besides those that the user wants.
    ///
    /// `noinit_itable`: the kernel would otherwise write zeros into all inode tables in the background, 64 GiB for
    /// 16 TiB, and each of them would become dirty data for the remote. Leaving that out for ever is safe here: the
    /// tables of groups not used yet are marked so under the descriptors' checksums, the kernel clears each inode when
    /// it hands it out, and what was never written on a disk of ours reads as zeros anyway.
    package var mountOptions: [String] {
        switch self {
        case .ext4: ["noatime", "noinit_itable"]
        case .xfs: ["noatime"]
        case .none: []
        }
    }

    /// For a device that takes no writes: as the filesystem is, its journal not replayed. Of a filesystem that is being
    /// written elsewhere it shows what has left the journal; `fsfreeze` there leaves nothing in it. The same xfs may be
    /// mounted a second time on the machine that writes it.
    package var readOnlyOptions: [String] {
        switch self {
        case .ext4: ["ro", "noload"]
        case .xfs: ["ro", "norecovery", "nouuid"]
        case .none: ["ro"]
        }
    }

    /// mkfs and its options, without the device.
    ///
    /// For ext4: nothing is discarded, for the disk is new, and neither the journal nor the inode tables are written
    /// (`lazy_…`). Metadata is packed in flexible groups of 512 GiB (`-G 4096`), so that bitmaps and inode tables share
    /// few chunks instead of dirtying one chunk every 2 GiB. Not `sparse_super2`, though it saves another 180 MiB at 16
    /// TiB: the kernel refuses to grow such a filesystem online. Not `meta_bg`: a mount would read one chunk every 8
    /// GiB.
    func formatArguments(bytes: UInt64, name: String) -> [String] {
        switch self {
        case .ext4:
            var arguments = [
                "mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-G", "4096", "-i", "\(Self.bytesPerInode(bytes))",
                "-O", "64bit,metadata_csum", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
                "-L", Self.label(name, bytes: 16),
            ]
            // The default grows to 1 GiB: needless laps over chunks that are uploaded again and again.
            if bytes >= 32 << 30 { arguments += ["-J", "size=128"] }
            return arguments
        case .xfs:
            // -K: no discard. The log is zeroed, so its size is what formatting writes; 2 GiB by default.
            let arguments = ["mkfs.xfs", "-q", "-K", "-L", Self.label(name, bytes: 12)]
            return bytes >= 16 << 30 ? arguments + ["-l", "size=128m"] : arguments
        case .none:
            return []
        }
    }

    /// Small disks hold trees of small files, huge ones films. Tables that are not used cost nothing on the remote, so
    /// there are many inodes; but 2^32 is the end.
    static func bytesPerInode(_ bytes: UInt64) -> Int {
        switch bytes {
        case ...(1 << 40): 16 << 10
        case ...(16 << 40): 64 << 10
        default: 256 << 10
        }
    }

    private func checkSize(_ bytes: UInt64) throws(HostError) {
        if self == .ext4, bytes > Self.ext4BytesMax {
            throw HostError(.unsuitable, "ext4 is for disks up to 64 TiB; choose xfs for this one.")
        }
        if self == .xfs, bytes < Self.xfsBytesMin {
            throw HostError(.unsuitable, "xfs is for disks of 300 MiB and more; choose ext4 for this one.")
        }
    }

    /// Bytes that both filesystems and the shell's tools take as they are.
    private static func label(_ name: String, bytes: Int) -> String {
        let fitting = name.utf8.filter { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "/") }
        return String(decoding: fitting.prefix(bytes), as: UTF8.self)
    }

    static func detectNow(_ device: LoopDevice) throws(HostError) -> BlockProbe.Content {
        do throws(Errno) {
            return try BlockProbe.content(of: device.devicePath)
        } catch {
            throw HostError(.failed, "\(device.devicePath) cannot be probed: \(error).")
        }
    }
}
