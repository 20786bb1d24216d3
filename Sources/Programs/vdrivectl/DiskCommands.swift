import ArgumentParser
import VDriveClient
import VDriveProtocol

struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Creates a disk on an empty remote.")

    @Argument(help: "The disk's name.") var name: String
    @Option(help: "The disk's size, such as 64G or 1.5T.") var size: Bytes
    @Option(help: "file:///path, webdav://host:port/path or webdavs://host:port/path.") var remote: String
    @Option(help: "A power of two from 64K to 16M; 4M when left out.") var chunkSize: Bytes?
    @OptionGroup var cache: CacheOptions
    @OptionGroup var settings: SettingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.report(
            DiskCreate.self,
            DiskCreate.Parameters(
                name: name,
                sizeBytes: size.count,
                remote: remote,
                chunkBytes: chunkSize.map { Int($0.count) },
                cacheDirectory: try absolute(cache.cacheDir),
                cacheBytes: cache.cacheSize?.count,
                credentialsFile: try credentialsReference(cache.credentials),
                durability: settings.durability,
                uploadIntervalSeconds: settings.uploadInterval,
                cachePolicy: settings.cachePolicy
            ),
            as: output
        ) { status in
            "created \(status.name): \(ByteSize.text(status.sizeBytes)) on \(status.remote.url)"
        }
    }
}

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes a disk known that exists on a remote.")

    @Argument(help: "The disk's name.") var name: String
    @Option(help: "file:///path, webdav://host:port/path or webdavs://host:port/path.") var remote: String
    @OptionGroup var cache: CacheOptions
    @OptionGroup var settings: SettingOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.report(
            DiskImport.self,
            DiskImport.Parameters(
                name: name,
                remote: remote,
                cacheDirectory: try absolute(cache.cacheDir),
                cacheBytes: cache.cacheSize?.count,
                credentialsFile: try credentialsReference(cache.credentials),
                durability: settings.durability,
                uploadIntervalSeconds: settings.uploadInterval,
                cachePolicy: settings.cachePolicy
            ),
            as: output
        ) { status in
            "imported \(status.name): \(ByteSize.text(status.sizeBytes)) on \(status.remote.url)"
        }
    }
}

/// What create and import take alike.
struct CacheOptions: ParsableArguments {
    @Option(help: "Where the cache lies: a folder on a local SSD.", completion: .directory) var cacheDir: String?
    @Option(help: "The cache's hard limit; 10G when left out.") var cacheSize: Bytes?
    @Option(
        help: "A TOML file with mode 0600: username and password, ca-file; or credential:NAME of systemd, or env:NAME.",
        completion: .file()
    )
    var credentials: String?
}

/// What can be changed later, too.
struct SettingOptions: ParsableArguments {
    @Option(help: "When an fsync is answered: local, or remote, once it is committed there.")
    var durability: DurabilityChoice?
    @Option(help: "Seconds that dirty data stays on this machine alone, 0.05 to 3600; 5 at first.")
    var uploadInterval: Double?
    @Option(help: "What leaves the cache first: s3fifo, at first: what was used once; lru: what was not used longest.")
    var cachePolicy: CachePolicyChoice?
}

struct Configure: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Changes a disk's settings, also while it is attached.")

    @Argument(help: "The disk's name.") var name: String
    @OptionGroup var settings: SettingOptions
    @Option(
        help: "From the next attach on: a TOML file with mode 0600, credential:NAME of systemd, env:NAME, or none.",
        completion: .file()
    )
    var credentials: String?
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.report(
            DiskConfigure.self,
            DiskConfigure.Parameters(
                name: name,
                durability: settings.durability,
                uploadIntervalSeconds: settings.uploadInterval,
                credentialsFile: try credentialsReference(credentials),
                cachePolicy: settings.cachePolicy
            ),
            as: output
        ) { status in
            let seconds = "\(status.uploadIntervalSeconds) s"
            let later =
                credentials != nil && status.image != nil ? "; the credentials count from the next attach on" : ""
            return "configured \(status.name): durability \(status.durability.rawValue), upload interval \(seconds), "
                + "cache policy \(status.cachePolicy.rawValue)\(later)"
        }
    }
}

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Puts a disk into use, as a filesystem.")

    @Argument(help: "The disk's name.") var name: String
    @Option(help: "Where to mount it; the last place, or /mnt/NAME, when left out.", completion: .directory) var mount:
        String?
    @Option(help: "ext4, xfs, or none for the bare image; a disk with a filesystem is never formatted again.")
    var fs: FilesystemChoice?
    @Flag(help: "Take the disk over from another owner that has not given it back; that one is fenced.")
    var takeover = false
    @Flag(help: "Throw away changes of this machine that were not uploaded before another one wrote.")
    var discardLocal = false
    @Flag(help: "Read the remote's state as it is now, beside whoever writes it; writes are refused.")
    var readOnly = false
    @Option(help: "Make a new disk of such changes first, beside this one on the remote.")
    var keepLocalAs: String?
    @OptionGroup var job: JobOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        if discardLocal, keepLocalAs != nil {
            throw ValidationError("--discard-local and --keep-local-as exclude each other; choose one.")
        }
        if readOnly, takeover || discardLocal || keepLocalAs != nil {
            throw ValidationError(
                "--read-only changes nothing; leave out --takeover, --discard-local, --keep-local-as."
            )
        }
    }

    func run() throws {
        try connection.reportJob(
            DiskAttach.self,
            DiskAttach.Parameters(
                name: name,
                mountPoint: try absolute(mount),
                filesystem: fs,
                takeover: takeover ? true : nil,
                discardLocal: discardLocal ? true : nil,
                readOnly: readOnly ? true : nil,
                keepLocalAs: keepLocalAs
            ),
            what: "attach \(name)",
            isBackground: job.background,
            as: output
        ) { status in
            "attached \(status.name) at \(status.mountPoint ?? status.image ?? "its image")"
        }
    }
}

struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Takes a disk out of use, when all is committed on the remote."
    )

    @Argument(help: "The disk's name.") var name: String
    @OptionGroup var job: JobOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.reportJob(
            DiskDetach.self,
            DiskNameParameters(name: name),
            what: "detach \(name)",
            isBackground: job.background,
            as: output
        ) { status in
            "detached \(status.name)"
        }
    }
}

struct Sync: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Returns when all that was written is committed on the remote."
    )

    @Argument(help: "The disk's name.") var name: String
    @OptionGroup var job: JobOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var connection: ConnectionOptions

    func run() throws {
        try connection.reportJob(
            DiskSync.self,
            DiskNameParameters(name: name),
            what: "sync \(name)",
            isBackground: job.background,
            as: output
        ) { status in
            "synced \(status.name)\(status.epoch.map { ", epoch \($0)" } ?? "")"
        }
    }
}
