/// `disk.create`: a new disk on an empty remote. Nothing half-made is left behind when it fails.
package enum DiskCreate: RPCMethod {
    package typealias Output = DiskStatus
    package static let name = MethodName.diskCreate

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, sizeBytes, remote, chunkBytes, cacheDirectory, cacheBytes, credentialsFile, durability
            case uploadIntervalSeconds, cachePolicy
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        /// A letter or digit, then up to 63 of `A-Za-z0-9._-`.
        package var name: String
        /// A multiple of the chunk size, up to 2^60.
        package var sizeBytes: UInt64
        /// `file:///path`, `webdav://host:port/path` or `webdavs://host:port/path`, without user and password.
        package var remote: String
        /// A power of two from 64 KiB to 16 MiB; 4 MiB when left out.
        package var chunkBytes: Int?
        /// An absolute path; a folder in the daemon's state when left out.
        package var cacheDirectory: String?
        /// The cache's hard limit; 10 GiB when left out.
        package var cacheBytes: UInt64?
        /// The absolute path of a file with mode 0600, `credential:NAME` or `env:NAME`; none when left out, or `none`.
        package var credentialsFile: String?
        /// When an fsync is answered; `local` when left out.
        package var durability: DurabilityChoice?
        /// How long what is dirty stays on this machine alone, 0.05 to 3600 s; 5 when left out.
        package var uploadIntervalSeconds: Double?
        /// What leaves the cache first; `s3fifo` when left out.
        package var cachePolicy: CachePolicyChoice?

        package init(
            name: String,
            sizeBytes: UInt64,
            remote: String,
            chunkBytes: Int? = nil,
            cacheDirectory: String? = nil,
            cacheBytes: UInt64? = nil,
            credentialsFile: String? = nil,
            durability: DurabilityChoice? = nil,
            uploadIntervalSeconds: Double? = nil,
            cachePolicy: CachePolicyChoice? = nil
        ) {
            self.name = name
            self.sizeBytes = sizeBytes
            self.remote = remote
            self.chunkBytes = chunkBytes
            self.cacheDirectory = cacheDirectory
            self.cacheBytes = cacheBytes
            self.credentialsFile = credentialsFile
            self.durability = durability
            self.uploadIntervalSeconds = uploadIntervalSeconds
            self.cachePolicy = cachePolicy
        }
    }
}

/// `disk.import`: a disk that exists on the remote becomes known here; not a byte of the remote changes.
package enum DiskImport: RPCMethod {
    package typealias Output = DiskStatus
    package static let name = MethodName.diskImport

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, remote, cacheDirectory, cacheBytes, credentialsFile, durability, uploadIntervalSeconds
            case cachePolicy
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        package var remote: String
        package var cacheDirectory: String?
        package var cacheBytes: UInt64?
        package var credentialsFile: String?
        package var durability: DurabilityChoice?
        package var uploadIntervalSeconds: Double?
        package var cachePolicy: CachePolicyChoice?

        package init(
            name: String,
            remote: String,
            cacheDirectory: String? = nil,
            cacheBytes: UInt64? = nil,
            credentialsFile: String? = nil,
            durability: DurabilityChoice? = nil,
            uploadIntervalSeconds: Double? = nil,
            cachePolicy: CachePolicyChoice? = nil
        ) {
            self.name = name
            self.remote = remote
            self.cacheDirectory = cacheDirectory
            self.cacheBytes = cacheBytes
            self.credentialsFile = credentialsFile
            self.durability = durability
            self.uploadIntervalSeconds = uploadIntervalSeconds
            self.cachePolicy = cachePolicy
        }
    }
}

/// When an fsync on a disk is answered.
package enum DurabilityChoice: String, Codable, CaseIterable, Sendable {
    /// Once what was written before is durable on this machine.
    case local
    /// Once it is committed on the remote, too.
    case remote
}

/// Which clean data leaves a disk's cache when it is full.
package enum CachePolicyChoice: String, Codable, CaseIterable, Sendable {
    /// What was not used for the longest time.
    case lru
    /// What was used only once, before what was used again: a backup or a large copy leaves the rest where it is.
    case s3fifo
}

/// `disk.configure`: changes a disk's settings, in its file and where it is attached; what is left out stays.
package enum DiskConfigure: RPCMethod {
    package typealias Output = DiskStatus
    package static let name = MethodName.diskConfigure

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, durability, uploadIntervalSeconds, credentialsFile, cachePolicy
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// Counts for the next fsync; those that wait for the remote are answered by a change to `local`.
        package var durability: DurabilityChoice?
        /// 0.05 to 3600.
        package var uploadIntervalSeconds: Double?
        /// As in `DiskCreate`; counts from the next attach on.
        package var credentialsFile: String?
        /// Counts at once; what is cached stays.
        package var cachePolicy: CachePolicyChoice?

        package init(
            name: String,
            durability: DurabilityChoice? = nil,
            uploadIntervalSeconds: Double? = nil,
            credentialsFile: String? = nil,
            cachePolicy: CachePolicyChoice? = nil
        ) {
            self.name = name
            self.durability = durability
            self.uploadIntervalSeconds = uploadIntervalSeconds
            self.credentialsFile = credentialsFile
            self.cachePolicy = cachePolicy
        }
    }
}

/// The parameters of methods that need a disk's name and nothing else.
package struct DiskNameParameters: RPCParameters, Equatable {
    package static let keys: Set<String> = ["name"]

    package var name: String

    package init(name: String) {
        self.name = name
    }
}

/// `disk.list`: every disk that this daemon knows, by name.
package enum DiskList: RPCMethod {
    package typealias Parameters = NoParameters
    package static let name = MethodName.diskList

    package struct Output: Codable, Equatable, Sendable {
        package var disks: [DiskStatus]

        package init(disks: [DiskStatus]) {
            self.disks = disks
        }
    }
}

/// `disk.status`: one disk.
package enum DiskStatusOf: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package typealias Output = DiskStatus
    package static let name = MethodName.diskStatus
}

/// `disk.attach`: answers when the disk is in use; attaching an attached disk the same way is no error.
package enum DiskAttach: RPCMethod {
    package typealias Output = DiskStatus
    package static let name = MethodName.diskAttach

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, mountPoint, filesystem, takeover, discardLocal, readOnly, keepLocalAs
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// An absolute path; the last attach's, or `/mnt/NAME`, when left out.
        package var mountPoint: String?
        /// What a disk that was never formatted becomes; the last attach's, or ext4, when left out.
        package var filesystem: FilesystemChoice?
        /// Take the disk over from another owner that has not given it back; that one is fenced.
        package var takeover: Bool?
        /// Throw away what this machine changed and another one never saw. Excludes `keepLocalAs`.
        package var discardLocal: Bool?
        /// Read the remote's state as it is now; writes are refused. Excludes the other three.
        package var readOnly: Bool?
        /// Make a new disk of this name from what this machine had, beside the disk's own remote, then go on as with
        /// `discardLocal`.
        package var keepLocalAs: String?

        package init(
            name: String,
            mountPoint: String? = nil,
            filesystem: FilesystemChoice? = nil,
            takeover: Bool? = nil,
            discardLocal: Bool? = nil,
            readOnly: Bool? = nil,
            keepLocalAs: String? = nil
        ) {
            self.name = name
            self.mountPoint = mountPoint
            self.filesystem = filesystem
            self.takeover = takeover
            self.discardLocal = discardLocal
            self.readOnly = readOnly
            self.keepLocalAs = keepLocalAs
        }
    }
}

/// What lies on a disk; `none` attaches the bare image, without a loop device.
package enum FilesystemChoice: String, Codable, CaseIterable, Sendable {
    case ext4, xfs, none
}

/// `disk.detach`: answers when all is committed on the remote and nothing of the disk is left in the kernel.
package enum DiskDetach: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package typealias Output = DiskStatus
    package static let name = MethodName.diskDetach
}

/// `disk.sync`: answers when all that was written before the call is committed on the remote.
package enum DiskSync: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package typealias Output = DiskStatus
    package static let name = MethodName.diskSync
}
