/// `cache.pin`: keeps data in the cache, and brings in what is not there.
package enum CachePin: RPCMethod {
    /// `wait`: whether to answer when all is in the cache, and not as soon as the rules hold.
    package typealias Parameters = CacheTargetAndWait
    package static let name = MethodName.cachePin

    package struct Output: Codable, Equatable, Sendable {
        /// One for each path, or for each part of a disk.
        package var rules: [CacheRule]
        /// The job that brings in what is not there; null when all was waited for.
        package var job: String?
        /// Files whose place on the disk cannot be told. They are looked at again.
        package var skippedFiles: UInt64
        /// Why, for the first of them.
        package var problem: String?

        package init(rules: [CacheRule], job: String?, found: FoundFiles) {
            self.rules = rules
            self.job = job
            skippedFiles = found.skippedFiles
            problem = found.problem
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rules, forKey: .rules)
            try container.encode(job, forKey: .job)
            try container.encode(skippedFiles, forKey: .skippedFiles)
            try container.encode(problem, forKey: .problem)
        }
    }
}

/// Something that stays in the cache, until it is unpinned. Files are followed: when they grow, when they move on the
/// disk, when new ones come below a folder.
package struct CacheRule: Codable, Equatable, Sendable {
    /// 16 hexadecimal digits.
    package var id: String
    package var disk: String
    /// Null for a part of a disk.
    package var path: String?
    package var recursive: Bool?
    package var metadata: Bool?
    /// Null for a path.
    package var offset: UInt64?
    package var length: UInt64?
    /// Seconds since 1970.
    package var createdAt: UInt64
    /// What it pins now, in whole pages.
    package var pinnedBytes: UInt64
    /// Of that, what must come from the remote yet.
    package var missingBytes: UInt64
    /// What keeps it from pinning all that it should.
    package var problem: String?

    package init(id: String, disk: String, createdAt: UInt64) {
        self.id = id
        self.disk = disk
        self.createdAt = createdAt
        pinnedBytes = 0
        missingBytes = 0
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(disk, forKey: .disk)
        try container.encode(path, forKey: .path)
        try container.encode(recursive, forKey: .recursive)
        try container.encode(metadata, forKey: .metadata)
        try container.encode(offset, forKey: .offset)
        try container.encode(length, forKey: .length)
        try container.encode(createdAt, forKey: .createdAt)
        try container.encode(pinnedBytes, forKey: .pinnedBytes)
        try container.encode(missingBytes, forKey: .missingBytes)
        try container.encode(problem, forKey: .problem)
    }
}

/// `cache.unpin`: lets go of what was pinned. What is in the cache stays, until its room is needed.
package enum CacheUnpin: RPCMethod {
    package typealias Parameters = CacheTargetOnly
    package static let name = MethodName.cacheUnpin

    package struct Output: Codable, Equatable, Sendable {
        /// Rules that are no more, or pin less than before.
        package var rules: Int

        package init(rules: Int) { self.rules = rules }
    }
}

/// `cache.pins`: all rules of a disk, by their creation.
package enum CachePins: RPCMethod {
    package typealias Parameters = DiskNameParameters
    package static let name = MethodName.cachePins

    package struct Output: Codable, Equatable, Sendable {
        package var rules: [CacheRule]

        package init(rules: [CacheRule]) { self.rules = rules }
    }
}

/// `cache.limits`: how much a disk's cache may take, and, where something is given, the change of that.
package enum CacheLimitsOf: RPCMethod {
    package static let name = MethodName.cacheLimits

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, sizeBytes, softPercent, reservePercent, cachePolicy
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// What is never exceeded by more than a chunk a writer.
        package var sizeBytes: UInt64?
        /// The share of the size at which cleaning in the background begins, 10 to 100.
        package var softPercent: Int?
        /// The share of the cache's filesystem that stays free for others, 0 to 90.
        package var reservePercent: Int?
        /// As `DiskConfigure` has it.
        package var cachePolicy: CachePolicyChoice?

        package init(
            name: String,
            sizeBytes: UInt64? = nil,
            softPercent: Int? = nil,
            reservePercent: Int? = nil,
            cachePolicy: CachePolicyChoice? = nil
        ) {
            self.name = name
            self.sizeBytes = sizeBytes
            self.softPercent = softPercent
            self.reservePercent = reservePercent
            self.cachePolicy = cachePolicy
        }

        package var isChange: Bool {
            sizeBytes != nil || softPercent != nil || reservePercent != nil || cachePolicy != nil
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var sizeBytes: UInt64
        package var softPercent: Int
        package var reservePercent: Int
        package var cachePolicy: CachePolicyChoice
        /// The limit in force: the size, or what the cache's filesystem has room for beside its reserve. Null while
        /// the disk is not attached, as what follows.
        package var effectiveBytes: UInt64?
        package var usedBytes: UInt64?
        package var dirtyBytes: UInt64?
        package var pinnedBytes: UInt64?

        package init(sizeBytes: UInt64, softPercent: Int, reservePercent: Int, cachePolicy: CachePolicyChoice) {
            self.sizeBytes = sizeBytes
            self.softPercent = softPercent
            self.reservePercent = reservePercent
            self.cachePolicy = cachePolicy
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(sizeBytes, forKey: .sizeBytes)
            try container.encode(softPercent, forKey: .softPercent)
            try container.encode(reservePercent, forKey: .reservePercent)
            try container.encode(cachePolicy, forKey: .cachePolicy)
            try container.encode(effectiveBytes, forKey: .effectiveBytes)
            try container.encode(usedBytes, forKey: .usedBytes)
            try container.encode(dirtyBytes, forKey: .dirtyBytes)
            try container.encode(pinnedBytes, forKey: .pinnedBytes)
        }
    }
}

extension CachePin: LongMethod {}
