import Linux
import Logging
import VDriveEngine
import VDriveFormat
import VDriveModel
import VDriveProtocol
import VDriveStore

/// Makes a disk known to this machine, new or from its remote; what fails half-way leaves nothing behind.
struct DiskMaker: Sendable {
    /// A cache below this thrashes with every request; the engine needs a few chunks in flight.
    static let cacheChunksMin: UInt64 = 4

    let layout: StateLayout
    let daemonUser: UInt32
    let places: PlaceCheck
    /// The disks that this machine has already.
    let known: [DiskID: DiskName]
    let logger: Logger

    /// What create and import are told alike.
    struct Request: Sendable {
        var name: DiskName
        var remote: String
        var cacheDirectory: String?
        var cacheBytes: UInt64?
        var credentials: CredentialsSource?
        var durability: DurabilityChoice?
        /// Checked.
        var uploadIntervalSeconds: Double?
        var cachePolicy: CachePolicyChoice?
    }

    /// Creates the disk on an empty remote.
    ///
    /// - Parameter isRegistered: whether the disk's file is written; otherwise that is left to the caller.
    func create(
        _ request: Request,
        geometry: DiskGeometry,
        isRegistered: Bool = true
    ) async throws(RPCError) -> DiskConfiguration {
        try await make(request, geometry: geometry, isRegistered: isRegistered) { (store, undo) throws(DiskError) in
            let descriptor: DiskDescriptor
            do throws(DiskError) {
                descriptor = try await DiskFormatter.create(store: store, geometry: geometry)
            } catch {
                guard error.kind == .exists else { throw error }
                throw DiskError(
                    .exists,
                    "A disk exists at \(request.remote) already; use import for it, or choose another remote."
                )
            }
            undo.add("remove the disk from the remote") { try await store.brief.delete(.descriptor) }
            return descriptor
        }
    }

    /// Reads what the remote says of a disk that exists.
    func importDisk(_ request: Request) async throws(RPCError) -> DiskConfiguration {
        try await make(request, geometry: nil, isRegistered: true) { (store, _) throws(DiskError) in
            try await DiskFormatter.open(store: store)
        }
    }

    /// - Parameter geometry: nil when only the remote knows it.
    private func make(
        _ request: Request,
        geometry: DiskGeometry?,
        isRegistered: Bool,
        _ body: (RemoteStore, inout UndoList) async throws(DiskError) -> DiskDescriptor
    ) async throws(RPCError) -> DiskConfiguration {
        let url = try Self.url(request.remote)
        let cacheDirectory = request.cacheDirectory ?? layout.standardCacheDirectory(of: request.name)
        try places.check(cacheDirectory, purpose: "The cache directory")
        if url.scheme == .file { try places.check(url.path, purpose: "The remote's folder") }
        let cacheBytes = request.cacheBytes ?? DiskConfiguration.cacheBytesDefault
        if let geometry { try Self.check(cacheBytes, geometry) }
        let store = try Self.store(
            url: url,
            credentials: request.credentials,
            daemonUser: daemonUser,
            logger: logger
        )

        var undo = UndoList()
        do {
            try makeFolder(cacheDirectory, undo: &undo)
            try makeFolder(layout.metadataDirectory(of: request.name), undo: &undo)
            let descriptor = try await body(store, &undo)
            try Self.check(cacheBytes, descriptor.geometry)
            if let name = known[descriptor.disk] {
                throw RPCError(.exists, "The disk at \(url) is known here as \(name) already; attach that one.")
            }
            var configuration = DiskConfiguration(
                name: request.name,
                id: descriptor.disk,
                geometry: descriptor.geometry,
                remote: url,
                cacheDirectory: cacheDirectory,
                cacheBytes: cacheBytes,
                credentials: request.credentials
            )
            if let durability = request.durability { configuration.durability = durability }
            if let seconds = request.uploadIntervalSeconds { configuration.uploadIntervalSeconds = seconds }
            if let policy = request.cachePolicy { configuration.cachePolicy = policy }
            if isRegistered { try configuration.save(in: layout) }
            return configuration
        } catch {
            await undo.run(logger: logger)
            throw (error as? RPCError) ?? (error as? DiskError).map(RPCError.init)
                ?? RPCError(.internal, "The disk could not be made: \(error).")
        }
    }

    private func makeFolder(_ path: String, undo: inout UndoList) throws(RPCError) {
        var missing: [String] = []
        var ancestor: String? = path
        while let folder = ancestor, !Directory.exists(folder) {
            missing.append(folder)
            ancestor = Directory.parent(of: folder)
        }
        let made = missing
        undo.add("remove \(path)") {
            // Only what is empty: nothing of ours is in it yet, and what is not ours stays.
            for folder in made { try? Directory.removeEmpty(folder) }
        }
        do throws(Errno) {
            try Directory.createAll(path)
        } catch {
            throw RPCError(.fixConfiguration, "The folder \(path) cannot be made: \(error).")
        }
    }

    /// - Throws: `invalidParams` for a cache size that cannot be.
    static func check(_ cacheBytes: UInt64, _ geometry: DiskGeometry) throws(RPCError) {
        let least = cacheChunksMin * UInt64(geometry.chunkBytes)
        guard cacheBytes >= least, cacheBytes <= DiskGeometry.diskBytesMax else {
            throw RPCError(
                .invalidParams,
                "The cache size \(cacheBytes) is out of range; choose from \(least) bytes, four chunks, to 1 EiB."
            )
        }
    }

    private static func url(_ text: String) throws(RPCError) -> StoreURL {
        do throws(StoreError) {
            return try StoreURL(text)
        } catch {
            throw RPCError(error)
        }
    }

    /// Opens a remote with the credentials that it asks for.
    static func store(
        url: StoreURL,
        credentials source: CredentialsSource?,
        daemonUser: UInt32,
        logger: Logger
    ) throws(RPCError) -> RemoteStore {
        var credentials: StoreCredentials?
        if let source { credentials = try Credentials(from: source, daemonUser: daemonUser).credentials(for: url) }
        do throws(StoreError) {
            return try openStore(url: url, credentials: credentials, logger: logger)
        } catch {
            throw RPCError(error)
        }
    }
}
