import VDriveProtocol

/// `rpc.discover`: the text of `Protocol/openrpc.json`, which the build puts into the program.
package enum DiscoverMethod {
    package static func add(to table: inout DispatchTable) {
        let document: JSONValue
        do {
            document = try JSONValue(parsing: PackageResources.openrpc_json)
        } catch {
            preconditionFailure("Protocol/openrpc.json is not JSON: \(error)")
        }
        table.add(RPCDiscover.self, always: document)
    }
}
