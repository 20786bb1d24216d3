/// `disk.destroy`: forgets a detached disk on this machine, and deletes it on its remote where that is asked for.
package enum DiskDestroy: RPCMethod {
    package static let name = MethodName.diskDestroy
    package static let keptFilesMax = 16

    package struct Parameters: RPCParameters, Equatable {
        package enum CodingKeys: String, CodingKey, CaseIterable {
            case name, remote, uuid, takeover, discardLocal
        }
        package static let keys = Set(CodingKeys.allCases.map(\.stringValue))

        package var name: String
        /// Delete the disk's objects on the remote, too: it is gone for every machine. Needs `uuid`.
        package var remote: Bool?
        /// The disk's uuid, as a confirmation that this disk is meant.
        package var uuid: String?
        /// Delete it on the remote although another machine has it attached; that one is fenced.
        package var takeover: Bool?
        /// Throw away what this machine has not uploaded.
        package var discardLocal: Bool?

        package init(
            name: String,
            remote: Bool? = nil,
            uuid: String? = nil,
            takeover: Bool? = nil,
            discardLocal: Bool? = nil
        ) {
            self.name = name
            self.remote = remote
            self.uuid = uuid
            self.takeover = takeover
            self.discardLocal = discardLocal
        }
    }

    package struct Output: Codable, Equatable, Sendable {
        package var name: String
        package var uuid: String
        /// Objects that were deleted on the remote; 0 where that was not asked for.
        package var deletedObjects: UInt64
        /// What was not the disk's own and stays in its cache directory; empty when nothing does. At most 16 names.
        package var keptFiles: [String]

        package init(name: String, uuid: String, deletedObjects: UInt64, keptFiles: [String]) {
            self.name = name
            self.uuid = uuid
            self.deletedObjects = deletedObjects
            self.keptFiles = keptFiles
        }
    }
}
