import VDriveProtocol

/// The group `upload`.
package enum UploadMethods {
    package static func add(to table: inout DispatchTable, registry: DiskRegistry) {
        table.add(UploadQueueOf.self) { (params) throws(RPCError) in
            let limit = params.limit ?? UploadQueueOf.limitDefault
            guard (0...UploadQueueOf.limitMax).contains(limit) else {
                throw RPCError(
                    .invalidParams,
                    "The limit \(limit) is out of range; choose 0 to \(UploadQueueOf.limitMax) chunks."
                )
            }
            return try await registry.uploadQueue(of: try DiskName(params.name), limit: limit)
        }
        table.add(UploadPause.self) { (params) throws(RPCError) in
            try await registry.pauseUploads(of: try DiskName(params.name))
        }
        table.add(UploadResume.self) { (params) throws(RPCError) in
            try await registry.resumeUploads(of: try DiskName(params.name))
        }
    }
}
