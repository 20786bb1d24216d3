/// `cache.evict`: drops all cached data that is clean.
package enum CacheEvict: RPCMethod {
    package static let name = MethodName.cacheEvict

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, wait
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// Whether to upload what is dirty first, and then drop it too; false when left out.
        package var wait: Bool?

        package init(name: String, wait: Bool? = nil) {
            self.name = name
            self.wait = wait
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var evictedBytes: UInt64

        package init(evictedBytes: UInt64) {
            self.evictedBytes = evictedBytes
        }
    }
}
