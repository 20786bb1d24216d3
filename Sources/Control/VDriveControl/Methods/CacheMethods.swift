import VDriveProtocol

/// The group `cache`.
package enum CacheMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        let jobs = registry.jobs
        table.add(CacheList.self) { (params) throws(RPCError) in
            try await CacheSteering(scope: try await registry.scope(params.target)).list(params)
        }
        table.add(CachePrefetch.self, in: jobs) { (params, job) throws(RPCError) in
            try await CacheSteering(scope: try await registry.scope(params.target, job)).prefetch(job)
        }
        table.add(CacheEvict.self, in: jobs) { (params, job) throws(RPCError) in
            let scope = try await registry.scope(params.target, job)
            guard case .whole = scope.part else { return try await CacheSteering(scope: scope).evict(job) }
            let bytes = try await registry.evict(scope.name, wait: params.wait ?? false, job)
            return CacheEvict.Output(evictedBytes: bytes)
        }
        table.add(CachePin.self, in: jobs) { (params, job) throws(RPCError) in
            try await CacheSteering(scope: try await registry.scope(params.target, job)).pin(
                waits: params.wait ?? false,
                job
            )
        }
        table.add(CacheUnpin.self) { (params) throws(RPCError) in
            try await CacheSteering(scope: try await registry.scope(params.target)).unpin(params.target)
        }
        table.add(CachePins.self) { (params) throws(RPCError) in
            let scope = try await registry.scope(CacheTarget(name: params.name))
            return CachePins.Output(rules: try await CacheSteering(scope: scope).pins())
        }
        table.add(CacheLimitsOf.self) { (params) throws(RPCError) in try await registry.limits(params) }
    }
}
