import VDriveEngine
package import VDriveProtocol

extension DiskRegistry {
    /// Changes a disk's settings: first in its file, then where it is attached.
    package func configure(_ params: DiskConfigure.Parameters) async throws(RPCError) -> DiskStatus {
        let name = try DiskName(params.name)
        let seconds = try DiskConfiguration.checked(uploadInterval: params.uploadIntervalSeconds)
        let credentials = try CredentialsSource.given(params.credentialsFile)
        let attached: AttachedDisk?
        switch try entry(name).phase {
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; configure it when that is done.")
        case .detaching: throw RPCError(.busy, "The disk \(name) is being detached; configure it when that is done.")
        case .destroying: throw RPCError(.busy, "The disk \(name) is being destroyed.")
        case .detached: attached = nil
        case .attached(let disk): attached = disk
        }
        var configuration = try entry(name).configuration
        if let durability = params.durability { configuration.durability = durability }
        if let seconds { configuration.uploadIntervalSeconds = seconds }
        if params.credentialsFile != nil {
            // They are read now, so that what cannot be used is refused now, and used at the next attach.
            if let credentials {
                _ = try Credentials(from: credentials, daemonUser: daemonUser).credentials(for: configuration.remote)
            }
            configuration.credentials = credentials
        }
        if let policy = params.cachePolicy { configuration.cachePolicy = policy }
        try configuration.save(in: layout)
        entries[name]?.configuration = configuration
        if let disk = attached?.disk {
            disk.setUploadInterval(.seconds(configuration.uploadIntervalSeconds))
            await disk.setCachePolicy(CachePolicy(configuration.cachePolicy))
            await disk.setDurability(Durability(configuration.durability))
        }
        return try await status(of: name)
    }
}

extension CredentialsSource {
    /// - Returns: nil for `none`, and where nothing was given.
    /// - Throws: `fixConfiguration`.
    static func given(_ text: String?) throws(RPCError) -> CredentialsSource? {
        guard let text else { return nil }
        return try CredentialsSource(text)
    }
}

extension DiskConfiguration {
    /// - Throws: `invalidParams`.
    static func checked(uploadInterval seconds: Double?) throws(RPCError) -> Double? {
        guard let seconds, !uploadIntervals.contains(seconds) else { return seconds }
        throw RPCError(.invalidParams, "The upload interval \(seconds) is out of range; choose 0.05 to 3600 seconds.")
    }
}

extension Durability {
    init(_ choice: DurabilityChoice) {
        switch choice {
        case .local: self = .local
        case .remote: self = .remote
        }
    }
}

extension CachePolicy {
    init(_ choice: CachePolicyChoice) {
        switch choice {
        case .lru: self = .lru
        case .s3fifo: self = .s3fifo
        }
    }
}
