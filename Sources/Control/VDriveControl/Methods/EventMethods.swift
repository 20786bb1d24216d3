import VDriveProtocol

/// The group `events`.
package enum EventMethods {
    package static func add(to table: inout DispatchTable) {
        table.add(EventsSubscribe.self) { (params, caller) throws(RPCError) in
            try check(params.types?.count, "types")
            try check(params.disks?.count, "disks")
            for disk in params.disks ?? [] { _ = try DiskName(disk) }
            return try connected(caller).subscribe(params)
        }
        table.add(EventsUnsubscribe.self) { (params, caller) throws(RPCError) in
            try connected(caller).unsubscribe(params.subscription)
            return EventsUnsubscribe.Output(subscription: params.subscription)
        }
    }

    private static func check(_ count: Int?, _ parameter: String) throws(RPCError) {
        guard let count, !(1...RPCLimits.filterNamesMax).contains(count) else { return }
        throw RPCError(
            .invalidParams,
            "The parameter \(parameter) has \(count) entries; give 1 to \(RPCLimits.filterNamesMax), or leave it out."
        )
    }

    private static func connected(_ caller: Caller?) throws(RPCError) -> Caller {
        guard let caller else { throw RPCError(.refused, "Events need a connection that they can go out on.") }
        return caller
    }
}
