package import VDriveProtocol

extension DispatchTable {
    /// Every method that a daemon answers.
    ///
    /// - Parameter config: the settings that it runs with.
    package static func daemon(registry: DiskRegistry, config: DaemonConfig.Output) -> DispatchTable {
        var table = DispatchTable()
        DiscoverMethod.add(to: &table)
        DaemonMethods.add(to: &table, registry: registry, config: config)
        DiskMethods.add(to: &table, registry: registry)
        CacheMethods.add(to: &table, registry: registry)
        UploadMethods.add(to: &table, registry: registry)
        StatsMethods.add(to: &table, registry: registry)
        EventMethods.add(to: &table)
        JobMethods.add(to: &table, jobs: registry.jobs)
        table.events = registry.events
        return table
    }
}
