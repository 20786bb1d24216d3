/// `cache.list`: what of a disk, or of files, is in the cache.
package enum CacheList: RPCMethod {
    package static let name = MethodName.cacheList

    package struct Parameters: CacheTargetParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case limit, token
        }
        /// `metadata` is about blocks that no file shows.
        package static let keys = CacheTarget.keys.subtracting(["metadata"])
            .union(CodingKeys.allCases.map(\.stringValue))

        package var target: CacheTarget
        /// Entries in one answer, 1 to `RPCLimits.cacheEntriesMax`; 200 when left out. There may be fewer.
        package var limit: Int?
        /// The `next` of the answer before.
        package var token: String?

        package init(_ target: CacheTarget, limit: Int? = nil, token: String? = nil) {
            self.target = target
            self.limit = limit
            self.token = token
        }

        package init(from decoder: any Decoder) throws {
            target = try CacheTarget(from: decoder)
            let container = try decoder.container(keyedBy: CodingKeys.self)
            limit = try container.decodeIfPresent(Int.self, forKey: .limit)
            token = try container.decodeIfPresent(String.self, forKey: .token)
            if let limit, !(1...RPCLimits.cacheEntriesMax).contains(limit) {
                throw RPCError(.invalidParams, "The parameter limit must be 1 to \(RPCLimits.cacheEntriesMax).")
            }
        }

        package func encode(to encoder: any Encoder) throws {
            try target.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encodeIfPresent(limit, forKey: .limit)
            try container.encodeIfPresent(token, forKey: .token)
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        /// In no order that means anything.
        package var entries: [CacheEntry]
        /// For the next call, when there is more.
        package var next: String?

        package init(entries: [CacheEntry], next: String?) {
            self.entries = entries
            self.next = next
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(entries, forKey: .entries)
            try container.encode(next, forKey: .next)
        }
    }
}

/// What of one file, or of one part of a disk, is in the cache.
package struct CacheEntry: Codable, Equatable, Sendable {
    package enum Kind: String, Codable, CaseIterable, Sendable {
        case file, directory, range
    }

    package enum State: String, Codable, CaseIterable, Sendable {
        /// Reading it needs no remote.
        case cached
        /// Some of it is in the cache.
        case partial
        /// All of it is on the remote alone.
        case cloud
    }

    package var kind: Kind
    /// Null for a part of a disk.
    package var path: String?
    /// Where the part begins; null for a file.
    package var offset: UInt64?
    /// The file's length, or the part's.
    package var sizeBytes: UInt64
    /// Bytes of the disk that hold its data, in whole blocks: without holes, and without what was never written. What
    /// the filesystem has in memory alone counts as in the cache, and dirty.
    package var dataBytes: UInt64
    /// Of `dataBytes`, what is in the cache.
    package var cachedBytes: UInt64
    /// Of `cachedBytes`, what is not on the remote yet.
    package var dirtyBytes: UInt64
    /// What of it is pinned, in the cache or not yet.
    package var pinnedBytes: UInt64
    /// Null for a directory, and where it cannot be told.
    package var state: State?
    /// Why it cannot be told.
    package var problem: String?

    package init(kind: Kind, path: String?, offset: UInt64?, sizeBytes: UInt64) {
        self.kind = kind
        self.path = path
        self.offset = offset
        self.sizeBytes = sizeBytes
        dataBytes = 0
        cachedBytes = 0
        dirtyBytes = 0
        pinnedBytes = 0
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(kind, forKey: .kind)
        try container.encode(path, forKey: .path)
        try container.encode(offset, forKey: .offset)
        try container.encode(sizeBytes, forKey: .sizeBytes)
        try container.encode(dataBytes, forKey: .dataBytes)
        try container.encode(cachedBytes, forKey: .cachedBytes)
        try container.encode(dirtyBytes, forKey: .dirtyBytes)
        try container.encode(pinnedBytes, forKey: .pinnedBytes)
        try container.encode(state, forKey: .state)
        try container.encode(problem, forKey: .problem)
    }
}

/// `cache.prefetch`: brings data in.
package enum CachePrefetch: RPCMethod {
    package typealias Parameters = CacheTargetOnly
    package static let name = MethodName.cachePrefetch

    package struct Output: Codable, Equatable, Sendable {
        package var found: FoundFiles

        package init(found: FoundFiles) { self.found = found }

        package init(from decoder: any Decoder) throws { found = try FoundFiles(from: decoder) }
        package func encode(to encoder: any Encoder) throws { try found.encode(to: encoder) }
    }
}

/// What a target came to.
package struct FoundFiles: Codable, Equatable, Sendable {
    /// Null for a part of a disk.
    package var files: UInt64?
    /// Of the disk, in whole pages.
    package var bytes: UInt64
    /// Files whose place on the disk cannot be told.
    package var skippedFiles: UInt64
    /// Why, for the first of them.
    package var problem: String?

    package init(files: UInt64?, bytes: UInt64, skippedFiles: UInt64 = 0, problem: String? = nil) {
        self.files = files
        self.bytes = bytes
        self.skippedFiles = skippedFiles
        self.problem = problem
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(files, forKey: .files)
        try container.encode(bytes, forKey: .bytes)
        try container.encode(skippedFiles, forKey: .skippedFiles)
        try container.encode(problem, forKey: .problem)
    }
}

/// `cache.evict`: drops cached data that is clean.
package enum CacheEvict: RPCMethod {
    /// `wait`: whether to upload what is dirty first, and then drop it too. A part of a disk, and files, are always
    /// uploaded first.
    package typealias Parameters = CacheTargetAndWait
    package static let name = MethodName.cacheEvict

    package struct Output: Codable, Equatable, Sendable {
        package var evictedBytes: UInt64
        /// What stayed because it is pinned; null when all of a disk was meant.
        package var pinnedBytes: UInt64?
        /// What stayed because it was written again meanwhile; null when all of a disk was meant.
        package var dirtyBytes: UInt64?

        package init(evictedBytes: UInt64, pinnedBytes: UInt64? = nil, dirtyBytes: UInt64? = nil) {
            self.evictedBytes = evictedBytes
            self.pinnedBytes = pinnedBytes
            self.dirtyBytes = dirtyBytes
        }

        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(evictedBytes, forKey: .evictedBytes)
            try container.encode(pinnedBytes, forKey: .pinnedBytes)
            try container.encode(dirtyBytes, forKey: .dirtyBytes)
        }
    }
}

extension CachePrefetch: LongMethod {}
extension CacheEvict: LongMethod {}
