import VDriveEngine
import VDriveModel
package import VDriveProtocol

extension DiskRegistry {
    /// Tells how much a disk's cache may take. What is given is changed before: where the disk is attached, and in its
    /// file.
    ///
    /// - Throws: `invalidParams`; `outOfSpace`, with how much is needed, when what is pinned would not fit.
    package func limits(_ params: CacheLimitsOf.Parameters) async throws(RPCError) -> CacheLimitsOf.Output {
        let name = try DiskName(params.name)
        if params.isChange { try await change(name, params) }
        let entry = try entry(name)
        let limits = entry.configuration.cacheLimits
        var output = CacheLimitsOf.Output(
            sizeBytes: limits.hardBytes,
            softPercent: limits.softPercent,
            reservePercent: limits.reservePercent,
            cachePolicy: entry.configuration.cachePolicy
        )
        guard case .attached(let attached) = entry.phase else { return output }
        let snapshot = await attached.disk.status()
        output.effectiveBytes = snapshot.effectiveLimitBytes
        output.usedBytes = snapshot.usedBytes
        output.dirtyBytes = snapshot.dirtyBytes
        output.pinnedBytes = snapshot.pinnedBytes
        return output
    }

    private func change(_ name: DiskName, _ params: CacheLimitsOf.Parameters) async throws(RPCError) {
        // What no disk can have is wrong whatever the disk.
        let least = DiskMaker.cacheChunksMin * UInt64(DiskGeometry.chunkBytesRange.lowerBound)
        if let bytes = params.sizeBytes, !(least...DiskGeometry.diskBytesMax).contains(bytes) {
            throw RPCError(.invalidParams, "The cache size \(bytes) is out of range; choose 256 KiB to 1 EiB.")
        }
        let softPercent = try Self.checked(params.softPercent, CacheLimits.softPercents, "soft limit")
        let reservePercent = try Self.checked(params.reservePercent, CacheLimits.reservePercents, "reserve")
        let entry = try entry(name)
        var limits = entry.configuration.cacheLimits
        if let bytes = params.sizeBytes {
            try DiskMaker.check(bytes, entry.configuration.geometry)
            limits.hardBytes = bytes
        }
        limits.softPercent = softPercent ?? limits.softPercent
        limits.reservePercent = reservePercent ?? limits.reservePercent
        switch entry.phase {
        case .detached:
            // Nothing may attach it meanwhile, so nothing waits here.
            if limits.hardBytes < entry.configuration.cacheLimits.hardBytes {
                let local = LocalDisk(entry.configuration, in: layout)
                let geometry = entry.configuration.geometry
                do throws(DiskError) { try local.checkPins(fit: limits.hardBytes, geometry) } catch {
                    throw RPCError(error)
                }
            }
        case .attached(let attached):
            do throws(DiskError) { try await attached.disk.setLimits(limits) } catch { throw RPCError(error) }
            if let policy = params.cachePolicy { await attached.disk.setCachePolicy(CachePolicy(policy)) }
        case .attaching: throw RPCError(.busy, "The disk \(name) is being attached; wait until it is.")
        case .detaching, .destroying: throw RPCError(.busy, "The disk \(name) is being taken away.")
        }
        guard var configuration = entries[name]?.configuration else { return }
        configuration.cacheLimits = limits
        configuration.cachePolicy = params.cachePolicy ?? configuration.cachePolicy
        try configuration.save(in: layout)
        entries[name]?.configuration = configuration
    }

    private static func checked(
        _ percent: Int?,
        _ allowed: ClosedRange<Int>,
        _ what: String
    ) throws(RPCError) -> Int? {
        guard let percent, !allowed.contains(percent) else { return percent }
        throw RPCError(
            .invalidParams,
            "The \(what) \(percent) is out of range; choose \(allowed.lowerBound) to \(allowed.upperBound) percent."
        )
    }
}
