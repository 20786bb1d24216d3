import VDriveProtocol

/// The group `cache`.
package enum CacheMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        table.add(CacheEvict.self, in: registry.jobs) { (params, job) throws(RPCError) in
            let bytes = try await registry.evict(try DiskName(params.name), wait: params.wait ?? false, job)
            return CacheEvict.Output(evictedBytes: bytes)
        }
    }
}
