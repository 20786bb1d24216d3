import Linux
import TOMLKit
package import VDriveEngine
package import VDriveModel
package import VDriveProtocol
package import VDriveStore

/// What this machine knows of a disk: `STATE/disks.d/NAME.toml`. It never holds a secret, only where one
/// lies.
package struct DiskConfiguration: Equatable, Sendable {
    private enum Key {
        static let name = "name"
        static let uuid = "uuid"
        static let size = "size"
        static let chunkSize = "chunk-size"
        static let remote = "remote"
        static let cacheDirectory = "cache-dir"
        static let cacheSize = "cache-size"
        static let cacheSoft = "cache-soft"
        static let cacheReserve = "cache-reserve"
        static let credentials = "credentials"
        static let durability = "durability"
        static let uploadInterval = "upload-interval"
        static let cachePolicy = "cache-policy"
        static let attach = "attach"
        static let readOnly = "read-only"
        static let mount = "mount"
        static let filesystem = "fs"
        static let all: Set = [
            name, uuid, size, chunkSize, remote, cacheDirectory, cacheSize, cacheSoft, cacheReserve, credentials,
            durability, uploadInterval, cachePolicy, attach, readOnly, mount, filesystem,
        ]
    }

    package static let cacheBytesDefault: UInt64 = 10 << 30
    package static let uploadIntervalDefault = 5.0
    /// Shorter, and the remote sees hundreds of commits a minute; longer, and nobody knows that it is set.
    package static let uploadIntervals = 0.05...3600

    package var name: DiskName
    package var id: DiskID
    package var geometry: DiskGeometry
    package var remote: StoreURL
    /// Absolute.
    package var cacheDirectory: String
    package var cacheLimits: CacheLimits
    /// The hard limit.
    package var cacheBytes: UInt64 { cacheLimits.hardBytes }
    /// Nil: the remote asks for none.
    package var credentials: CredentialsSource?
    /// When an fsync is answered.
    package var durability = DurabilityChoice.local
    /// How long what is dirty stays on this machine alone; one of `uploadIntervals`.
    package var uploadIntervalSeconds = Self.uploadIntervalDefault
    /// What leaves the cache first.
    package var cachePolicy = CachePolicyChoice.s3fifo
    /// Whether the disk was attached when the daemon ended, and so is attached when it starts.
    package var isAttachedAtStart: Bool
    /// Whether the last attach was one to be read alone.
    package var isReadOnly = false
    /// Where the last attach mounted it.
    package var mountPoint: String?
    /// What the last attach found or made.
    package var filesystem: FilesystemChoice?

    package init(
        name: DiskName,
        id: DiskID,
        geometry: DiskGeometry,
        remote: StoreURL,
        cacheDirectory: String,
        cacheBytes: UInt64,
        credentials: CredentialsSource?
    ) {
        self.name = name
        self.id = id
        self.geometry = geometry
        self.remote = remote
        self.cacheDirectory = cacheDirectory
        cacheLimits = CacheLimits(hardBytes: cacheBytes)
        self.credentials = credentials
        isAttachedAtStart = false
    }

    /// Reads a file's text, strictly.
    ///
    /// - Parameter path: for the errors; its name without `.toml` must be the disk's.
    /// - Throws: `fixConfiguration` with file and line.
    package init(text: String, path: String) throws(RPCError) {
        let table = try StrictTable(text: text, path: path, keys: Key.all, isSecret: false)
        name = try Self.name(in: table)
        guard let id = DiskID(try table.required(Key.uuid, try table.string(Key.uuid))) else {
            throw table.error(at: Key.uuid, "\(Key.uuid) is not a UUID.")
        }
        self.id = id
        geometry = try Self.geometry(in: table)
        let url = try table.required(Key.remote, try table.string(Key.remote))
        do throws(StoreError) {
            remote = try StoreURL(url)
        } catch {
            throw table.error(at: Key.remote, error.message)
        }
        cacheDirectory = try table.required(Key.cacheDirectory, try table.string(Key.cacheDirectory))
        cacheLimits = try Self.cacheLimits(in: table)
        credentials = try Self.credentials(in: table)
        durability = try Self.durability(in: table)
        uploadIntervalSeconds = try Self.uploadInterval(in: table)
        cachePolicy = try Self.cachePolicy(in: table)
        isAttachedAtStart = try table.bool(Key.attach) ?? false
        isReadOnly = try table.bool(Key.readOnly) ?? false
        mountPoint = try table.string(Key.mount)
        filesystem = try Self.filesystem(in: table)
    }

    /// The file's text.
    package var text: String {
        let table = TOMLTable()
        table[Key.name] = name.text
        table[Key.uuid] = id.description
        table[Key.size] = TOMLInt(Int64(geometry.diskBytes))
        table[Key.chunkSize] = TOMLInt(geometry.chunkBytes)
        table[Key.remote] = remote.redacted
        table[Key.cacheDirectory] = cacheDirectory
        table[Key.cacheSize] = TOMLInt(Int64(clamping: cacheBytes))
        table[Key.cacheSoft] = TOMLInt(cacheLimits.softPercent)
        table[Key.cacheReserve] = TOMLInt(cacheLimits.reservePercent)
        if let credentials { table[Key.credentials] = credentials.description }
        table[Key.durability] = durability.rawValue
        table[Key.uploadInterval] = uploadIntervalSeconds
        table[Key.cachePolicy] = cachePolicy.rawValue
        table[Key.attach] = isAttachedAtStart
        if isReadOnly { table[Key.readOnly] = true }
        if let mountPoint { table[Key.mount] = mountPoint }
        if let filesystem { table[Key.filesystem] = filesystem.rawValue }
        return table.convert(to: .toml) + "\n"
    }

    private static func name(in table: StrictTable) throws(RPCError) -> DiskName {
        let text = try table.required(Key.name, try table.string(Key.name))
        guard let name = try? DiskName(text), table.path.hasSuffix("/\(name).toml") || table.path == "\(name).toml"
        else {
            throw table.error(at: Key.name, "\(Key.name) must be the file's own name without .toml.")
        }
        return name
    }

    private static func geometry(in table: StrictTable) throws(RPCError) -> DiskGeometry {
        let size = try table.required(Key.size, try table.bytes(Key.size))
        let chunk = try table.required(Key.chunkSize, try table.bytes(Key.chunkSize))
        do throws(GeometryError) {
            return try DiskGeometry(diskBytes: size, chunkBytes: Int(clamping: chunk))
        } catch {
            throw table.error(at: Key.size, error.description)
        }
    }

    private static func credentials(in table: StrictTable) throws(RPCError) -> CredentialsSource? {
        guard let text = try table.string(Key.credentials) else { return nil }
        do throws(RPCError) {
            return try CredentialsSource(text)
        } catch {
            throw table.error(at: Key.credentials, error.message)
        }
    }

    private static func cacheLimits(in table: StrictTable) throws(RPCError) -> CacheLimits {
        var limits = CacheLimits(hardBytes: try table.required(Key.cacheSize, try table.bytes(Key.cacheSize)))
        if let percent = try percent(Key.cacheSoft, CacheLimits.softPercents, in: table) {
            limits.softPercent = percent
        }
        if let percent = try percent(Key.cacheReserve, CacheLimits.reservePercents, in: table) {
            limits.reservePercent = percent
        }
        return limits
    }

    private static func percent(
        _ key: String,
        _ allowed: ClosedRange<Int>,
        in table: StrictTable
    ) throws(RPCError) -> Int? {
        guard let number = try table.number(key) else { return nil }
        guard let percent = Int(exactly: number), allowed.contains(percent) else {
            throw table.error(at: key, "\(key) must be from \(allowed.lowerBound) to \(allowed.upperBound) percent.")
        }
        return percent
    }

    private static func durability(in table: StrictTable) throws(RPCError) -> DurabilityChoice {
        guard let text = try table.string(Key.durability) else { return .local }
        guard let choice = DurabilityChoice(rawValue: text) else {
            throw table.error(at: Key.durability, "\(Key.durability) must be local or remote.")
        }
        return choice
    }

    private static func uploadInterval(in table: StrictTable) throws(RPCError) -> Double {
        guard let seconds = try table.number(Key.uploadInterval) else { return uploadIntervalDefault }
        guard uploadIntervals.contains(seconds) else {
            throw table.error(at: Key.uploadInterval, "\(Key.uploadInterval) must be from 0.05 to 3600 seconds.")
        }
        return seconds
    }

    private static func cachePolicy(in table: StrictTable) throws(RPCError) -> CachePolicyChoice {
        guard let text = try table.string(Key.cachePolicy) else { return .s3fifo }
        guard let choice = CachePolicyChoice(rawValue: text) else {
            throw table.error(at: Key.cachePolicy, "\(Key.cachePolicy) must be lru or s3fifo.")
        }
        return choice
    }

    private static func filesystem(in table: StrictTable) throws(RPCError) -> FilesystemChoice? {
        guard let text = try table.string(Key.filesystem) else { return nil }
        guard let choice = FilesystemChoice(rawValue: text) else {
            throw table.error(at: Key.filesystem, "\(Key.filesystem) must be ext4, xfs or none.")
        }
        return choice
    }
}
