import VDriveProtocol

/// The group `disk`.
package enum DiskMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        let jobs = registry.jobs
        table.add(DiskCreate.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.create(params, job)
        }
        table.add(DiskImport.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.importDisk(params, job)
        }
        table.add(DiskConfigure.self) { (params) throws(RPCError) in try await registry.configure(params) }
        table.add(DiskList.self) { (_) throws(RPCError) in DiskList.Output(disks: await registry.list()) }
        table.add(DiskStatusOf.self) { (params) throws(RPCError) in
            try await registry.status(of: try DiskName(params.name))
        }
        table.add(DiskAttach.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.attach(params, job)
        }
        table.add(DiskDetach.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.detach(try DiskName(params.name), job)
        }
        table.add(DiskSync.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.sync(try DiskName(params.name), job)
        }
        table.add(DiskDestroy.self, in: jobs) { (params, job) throws(RPCError) in
            try await registry.destroy(params, job)
        }
    }
}
