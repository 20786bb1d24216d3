import VDriveProtocol

/// The group `disk`.
package enum DiskMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        table.add(DiskCreate.self) { (params) throws(RPCError) in try await registry.create(params) }
        table.add(DiskImport.self) { (params) throws(RPCError) in try await registry.importDisk(params) }
        table.add(DiskConfigure.self) { (params) throws(RPCError) in try await registry.configure(params) }
        table.add(DiskList.self) { (_) throws(RPCError) in DiskList.Output(disks: await registry.list()) }
        table.add(DiskStatusOf.self) { (params) throws(RPCError) in
            try await registry.status(of: try DiskName(params.name))
        }
        table.add(DiskAttach.self) { (params) throws(RPCError) in try await registry.attach(params) }
        table.add(DiskDetach.self) { (params) throws(RPCError) in
            try await registry.detach(try DiskName(params.name))
        }
        table.add(DiskSync.self) { (params) throws(RPCError) in
            try await registry.sync(try DiskName(params.name))
        }
        table.add(DiskDestroy.self) { (params) throws(RPCError) in
            try await registry.destroy(params, progress: { _ in })
        }
    }
}
