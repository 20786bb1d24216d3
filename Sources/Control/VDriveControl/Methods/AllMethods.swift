extension DispatchTable {
    /// Every method that a daemon answers.
    package static func daemon(registry: DiskRegistry) -> DispatchTable {
        var table = DispatchTable()
        DiscoverMethod.add(to: &table)
        DaemonMethods.add(to: &table, registry: registry)
        DiskMethods.add(to: &table, registry: registry)
        CacheMethods.add(to: &table, registry: registry)
        StatsMethods.add(to: &table, registry: registry)
        return table
    }
}
