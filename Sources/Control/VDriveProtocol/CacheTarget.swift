/// What a call of the group `cache` is about: a disk, a part of it, or files and folders on disks that are mounted.
///
/// Its fields lie beside the others of a call's parameters. Either `name` or `paths` is there.
package struct CacheTarget: Codable, Equatable, Sendable {
    package enum CodingKeys: String, CodingKey, CaseIterable {
        case name, offset, length, chunks, paths, recursive, metadata
    }
    package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

    package var name: String?
    /// The first byte of the disk that is meant; 0 when left out.
    package var offset: UInt64?
    /// Bytes; to the disk's end when left out.
    package var length: UInt64?
    /// Chunks in place of bytes.
    package var chunks: [UInt64]?
    /// Absolute, without `..`.
    package var paths: [String]?
    /// Whether all that lies below a folder is meant, too; false when left out.
    package var recursive: Bool?
    /// What the filesystem keeps about the files, in place of what is in them; false when left out. With a disk's name:
    /// of all its files.
    package var metadata: Bool?

    package init(
        name: String? = nil,
        offset: UInt64? = nil,
        length: UInt64? = nil,
        chunks: [UInt64]? = nil,
        paths: [String]? = nil,
        recursive: Bool? = nil,
        metadata: Bool? = nil
    ) {
        self.name = name
        self.offset = offset
        self.length = length
        self.chunks = chunks
        self.paths = paths
        self.recursive = recursive
        self.metadata = metadata
    }

    /// - Throws: `RPCError` with `invalidParams` when the fields do not go together.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decodeIfPresent(String.self, forKey: .name)
        offset = try container.decodeIfPresent(UInt64.self, forKey: .offset)
        length = try container.decodeIfPresent(UInt64.self, forKey: .length)
        chunks = try container.decodeIfPresent([UInt64].self, forKey: .chunks)
        paths = try container.decodeIfPresent([String].self, forKey: .paths)
        recursive = try container.decodeIfPresent(Bool.self, forKey: .recursive)
        metadata = try container.decodeIfPresent(Bool.self, forKey: .metadata)
        try check()
    }

    /// Whether it is a part of a disk, in bytes or in chunks.
    package var isPart: Bool { offset != nil || length != nil || chunks != nil }

    private func check() throws(RPCError) {
        guard (name == nil) != (paths == nil) else {
            throw RPCError(.invalidParams, "The parameter name or paths must be there, and not both.")
        }
        guard name != nil || !isPart else {
            throw RPCError(.invalidParams, "The parameters offset, length and chunks go with name, and not with paths.")
        }
        guard length != 0 else { throw RPCError(.invalidParams, "The parameter length must be 1 or more.") }
        guard chunks == nil || (offset == nil && length == nil) else {
            throw RPCError(.invalidParams, "The parameter chunks excludes offset and length.")
        }
        guard paths != nil || recursive != true else {
            throw RPCError(.invalidParams, "The parameter recursive goes with paths.")
        }
        guard metadata != true || !isPart else {
            throw RPCError(.invalidParams, "The parameter metadata excludes offset, length and chunks.")
        }
        try check(paths?.count, "paths", RPCLimits.cachePathsMax)
        try check(chunks?.count, "chunks", RPCLimits.cacheChunksMax)
        for path in paths ?? [] where !Self.isPlain(path) {
            throw RPCError(.invalidParams, "The path \(JSONValue.string(path).text) must be absolute, and without ...")
        }
    }

    /// Byte by byte: a name may begin with an accent, which Swift takes for a part of the slash before it.
    private static func isPlain(_ path: String) -> Bool {
        let slash = UInt8(ascii: "/")
        return path.utf8.first == slash && !path.utf8.split(separator: slash).contains { $0.elementsEqual("..".utf8) }
    }

    private func check(_ count: Int?, _ parameter: String, _ most: Int) throws(RPCError) {
        guard let count, !(1...most).contains(count) else { return }
        throw RPCError(.invalidParams, "The parameter \(parameter) has \(count) entries; give 1 to \(most).")
    }
}

/// Parameters that are a target and perhaps something more.
package protocol CacheTargetParameters: RPCParameters {
    var target: CacheTarget { get }
}

/// The parameters of methods that need a target and nothing else.
package struct CacheTargetOnly: CacheTargetParameters, Equatable {
    package static let keys = CacheTarget.keys

    package var target: CacheTarget

    package init(_ target: CacheTarget) { self.target = target }

    package init(from decoder: any Decoder) throws { target = try CacheTarget(from: decoder) }

    package func encode(to encoder: any Encoder) throws { try target.encode(to: encoder) }
}

/// The parameters of methods that may wait for what they begin.
package struct CacheTargetAndWait: CacheTargetParameters, Equatable {
    package enum CodingKeys: String, CodingKey, CaseIterable {
        case wait
    }
    package static let keys = CacheTarget.keys.union(CodingKeys.allCases.map(\.stringValue))

    package var target: CacheTarget
    /// False when left out; each method tells what it means.
    package var wait: Bool?

    package init(_ target: CacheTarget, wait: Bool? = nil) {
        self.target = target
        self.wait = wait
    }

    package init(name: String, wait: Bool? = nil) {
        self.init(CacheTarget(name: name), wait: wait)
    }

    package init(from decoder: any Decoder) throws {
        target = try CacheTarget(from: decoder)
        wait = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(Bool.self, forKey: .wait)
    }

    package func encode(to encoder: any Encoder) throws {
        try target.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(wait, forKey: .wait)
    }
}

extension LongMethod where Parameters: CacheTargetParameters {
    /// Nil for paths: where they lie is found out later.
    package static func disk(of parameters: Parameters) -> String? { parameters.target.name }
}
