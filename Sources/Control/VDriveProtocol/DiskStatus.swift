/// What a disk is doing.
package enum DiskState: String, Codable, CaseIterable, Sendable {
    case detached, attaching, attached, detaching
    /// Being forgotten here, and perhaps deleted on its remote.
    case destroying
    /// Another writer took the disk over; what is dirty here stays here.
    case fenced
    /// Another machine committed while this one held dirty data; somebody must choose.
    case diverged
    /// The last attach failed, or the disk broke while attached; `lastError` says why.
    case failed
}

/// One disk, as `disk.status` shows it. Every field is always there; null says "not known while detached", or "none".
package struct DiskStatus: Codable, Equatable, Sendable {
    package var name: String
    package var uuid: String
    package var state: DiskState
    /// The path of `disk.img` in the FUSE mount.
    package var image: String?
    /// The loop device.
    package var device: String?
    /// Where the filesystem is mounted.
    package var mountPoint: String?
    /// `ext4`, `xfs`, or `none` for a bare image; null before the first attach.
    package var filesystem: String?
    /// Whether it is attached to be read alone.
    package var readOnly = false
    package var sizeBytes: UInt64
    package var chunkBytes: Int
    /// When an fsync is answered.
    package var durability: DurabilityChoice
    /// How long what is dirty stays on this machine alone when nothing else asks for an upload.
    package var uploadIntervalSeconds: Double
    /// What leaves the cache first.
    package var cachePolicy: CachePolicyChoice
    package var term: UInt64?
    package var epoch: UInt64?
    package var cache: Cache
    package var upload: Upload
    /// Bytes of the disk that hold data, in whole chunks.
    package var allocatedBytes: UInt64?
    package var remote: Remote
    /// One sentence, or null.
    package var lastError: String?
    /// What is wrong right now, one sentence each; empty when all is well, null while detached.
    package var warnings: [String]?
    /// Objects of the disk that were asked for since it was attached, and are missing or damaged on the remote.
    package var damaged: Damaged?

    package struct Damaged: Codable, Equatable, Sendable {
        package var total: UInt64
        /// The names of the first 16.
        package var objects: [String]

        package init(total: UInt64, objects: [String]) {
            self.total = total
            self.objects = objects
        }
    }

    package struct Cache: Codable, Equatable, Sendable {
        package var limitBytes: UInt64
        package var usedBytes: UInt64?
        package var dirtyBytes: UInt64?
        /// All that is pinned, whether in the cache or not yet.
        package var pinnedBytes: UInt64?

        package init(
            limitBytes: UInt64,
            usedBytes: UInt64? = nil,
            dirtyBytes: UInt64? = nil,
            pinnedBytes: UInt64? = nil
        ) {
            self.limitBytes = limitBytes
            self.usedBytes = usedBytes
            self.dirtyBytes = dirtyBytes
            self.pinnedBytes = pinnedBytes
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(limitBytes, forKey: .limitBytes)
            try container.encode(usedBytes, forKey: .usedBytes)
            try container.encode(dirtyBytes, forKey: .dirtyBytes)
            try container.encode(pinnedBytes, forKey: .pinnedBytes)
        }
    }

    package struct Upload: Codable, Equatable, Sendable {
        package var pendingBytes: UInt64?
        /// Whether somebody has paused the uploads.
        package var paused: Bool?

        package init(pendingBytes: UInt64? = nil, paused: Bool? = nil) {
            self.pendingBytes = pendingBytes
            self.paused = paused
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(pendingBytes, forKey: .pendingBytes)
            try container.encode(paused, forKey: .paused)
        }
    }

    package struct Remote: Codable, Equatable, Sendable {
        /// Without secrets.
        package var url: String
        package var state: String?

        package init(url: String, state: String? = nil) {
            self.url = url
            self.state = state
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(url, forKey: .url)
            try container.encode(state, forKey: .state)
        }
    }

    /// A disk that is not attached: all that its configuration tells.
    package init(
        name: String,
        uuid: String,
        state: DiskState,
        sizeBytes: UInt64,
        chunkBytes: Int,
        durability: DurabilityChoice,
        uploadIntervalSeconds: Double,
        cachePolicy: CachePolicyChoice,
        cacheLimitBytes: UInt64,
        remoteURL: String
    ) {
        self.name = name
        self.uuid = uuid
        self.state = state
        self.sizeBytes = sizeBytes
        self.chunkBytes = chunkBytes
        self.durability = durability
        self.uploadIntervalSeconds = uploadIntervalSeconds
        self.cachePolicy = cachePolicy
        cache = Cache(limitBytes: cacheLimitBytes)
        upload = Upload()
        remote = Remote(url: remoteURL)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(uuid, forKey: .uuid)
        try container.encode(state, forKey: .state)
        // `encode` and not `encodeIfPresent`: a field without a value is null, never absent.
        try container.encode(image, forKey: .image)
        try container.encode(device, forKey: .device)
        try container.encode(mountPoint, forKey: .mountPoint)
        try container.encode(filesystem, forKey: .filesystem)
        try container.encode(readOnly, forKey: .readOnly)
        try container.encode(sizeBytes, forKey: .sizeBytes)
        try container.encode(chunkBytes, forKey: .chunkBytes)
        try container.encode(durability, forKey: .durability)
        try container.encode(uploadIntervalSeconds, forKey: .uploadIntervalSeconds)
        try container.encode(cachePolicy, forKey: .cachePolicy)
        try container.encode(term, forKey: .term)
        try container.encode(epoch, forKey: .epoch)
        try container.encode(cache, forKey: .cache)
        try container.encode(upload, forKey: .upload)
        try container.encode(allocatedBytes, forKey: .allocatedBytes)
        try container.encode(remote, forKey: .remote)
        try container.encode(lastError, forKey: .lastError)
        try container.encode(warnings, forKey: .warnings)
        try container.encode(damaged, forKey: .damaged)
    }
}
