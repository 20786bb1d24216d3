import Linux
import Testing
import VDriveModel
import VDriveProtocol
import VDriveStore

@testable import VDriveControl

@Suite("disk configuration")
struct ConfigurationTests {
    private func sample(_ name: String = "films", bytes: UInt64 = 1 << 60) throws -> DiskConfiguration {
        var configuration = DiskConfiguration(
            name: try DiskName(name),
            id: DiskID(high: 0x1111_2222_3333_4444, low: 0x8888_9999_AAAA_BBBB),
            geometry: try DiskGeometry(diskBytes: bytes, chunkBytes: 4 << 20),
            remote: try StoreURL("webdavs://dav.example:8443/a%20b/films"),
            cacheDirectory: "/var/cache/with \"quotes\" and ünicode",
            cacheBytes: 10 << 30,
            credentials: .file("/etc/vdrive/films.credentials")
        )
        configuration.durability = .remote
        configuration.uploadIntervalSeconds = 0.25
        configuration.cachePolicy = .lru
        configuration.isAttachedAtStart = true
        configuration.mountPoint = "/mnt/films"
        configuration.filesystem = .xfs
        return configuration
    }

    @Test("what is written is read back")
    func roundTrip() throws {
        let full = try sample()
        #expect(try DiskConfiguration(text: full.text, path: "/x/films.toml") == full)
        var bare = full
        bare.credentials = nil
        bare.mountPoint = nil
        bare.filesystem = nil
        bare.isAttachedAtStart = false
        #expect(try DiskConfiguration(text: bare.text, path: "/x/films.toml") == bare)
    }

    @Test("where credentials lie is read back", arguments: ["credential:nas", "env:NAS_CREDENTIALS", "/etc/nas"])
    func credentials(reference: String) throws {
        var configuration = try sample()
        configuration.credentials = try CredentialsSource(reference)
        #expect(configuration.text.contains("credentials = '\(reference)'\n"))
        #expect(try DiskConfiguration(text: configuration.text, path: "/x/films.toml") == configuration)
    }

    @Test("a file from before durability, upload interval and cache policy reads as local, 5 s and s3fifo")
    func readsOldFiles() throws {
        let text = try sample().text.replacing("durability = 'remote'\n", with: "")
            .replacing(/upload-interval = .*\n/, with: "").replacing("cache-policy = 'lru'\n", with: "")
        try #require(!text.contains("durability") && !text.contains("upload") && !text.contains("policy"))
        let configuration = try DiskConfiguration(text: text, path: "/x/films.toml")
        #expect(configuration.durability == .local)
        #expect(configuration.uploadIntervalSeconds == 5)
        #expect(configuration.cachePolicy == .s3fifo)
        let whole = text + "\nupload-interval = 60\n"
        #expect(try DiskConfiguration(text: whole, path: "/x/films.toml").uploadIntervalSeconds == 60)
    }

    @Test("sizes may be written as people write them")
    func readsSizes() throws {
        let text = try sample(bytes: 64 << 30).text.replacing(/\bcache-size = \d+/, with: #"cache-size = "20G""#)
        #expect(try DiskConfiguration(text: text, path: "/x/films.toml").cacheBytes == 20 << 30)
    }

    @Test(
        "a file that is not as it should be is refused, with its line",
        arguments: [
            ("attach = true", "attach = \"yes\"", "attach must be true or false"),
            ("attach = true", "attatch = true", "the key attatch is not known"),
            ("fs = 'xfs'", "fs = 'ntfs'", "fs must be ext4, xfs or none"),
            ("mount = '/mnt/films'", "mount = 7", "mount must be a string"),
            ("name = 'films'", "name = 'other'", "name must be the file's own name"),
            ("chunk-size = 4194304", "chunk-size = 4194305", "not a power of two"),
            ("chunk-size = 4194304", "chunk-size = -1", "chunk-size must be a size"),
            ("chunk-size = 4194304", "chunk-size = ", "line"),
            ("cache-size = 10737418240", "", "cache-size is missing"),
            ("'/etc/vdrive/films.credentials'", "'films.credentials'", "must be absolute"),
            ("'/etc/vdrive/films.credentials'", "'credential:../films'", "names no credential"),
            ("durability = 'remote'", "durability = 'both'", "durability must be local or remote"),
            ("cache-policy = 'lru'", "cache-policy = 'fifo'", "cache-policy must be lru or s3fifo"),
            ("upload-interval = 0.25", "upload-interval = 0.01", "must be from 0.05 to 3600 seconds"),
            ("upload-interval = 0.25", "upload-interval = nan", "must be from 0.05 to 3600 seconds"),
            ("upload-interval = 0.25", "upload-interval = '1s'", "upload-interval must be a number"),
        ]
    )
    func refuses(part: String, other: String, sentence: String) throws {
        let text = try sample().text
        let broken = text.replacing(part, with: other)
        try #require(broken != text, "\(text)")
        let error = #expect(throws: RPCError.self) {
            try DiskConfiguration(text: broken, path: "/x/films.toml")
        }
        #expect(error?.code == .fixConfiguration)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
        #expect(error?.message.hasPrefix("/x/films.toml") == true)
    }

    @Test("a folder of files is loaded; what is broken is said, and the rest is there")
    func loads() throws {
        let folder = try ScratchFolder()
        let layout = try StateLayout(stateDirectory: "\(folder.path)/state", runDirectory: "\(folder.path)/run")
        let lock = try layout.claim()
        try sample("b").save(in: layout)
        try sample("a").save(in: layout)
        try writeFileAtomically("\(layout.configurationDirectory)/c.toml", Array("name = ".utf8))
        try writeFileAtomically("\(layout.configurationDirectory)/notes.txt", Array("x".utf8))
        let (disks, errors) = DiskConfiguration.load(from: layout)
        #expect(disks.map(\.name.text) == ["a", "b"])
        #expect(errors.count == 1)
        #expect(try FileStatus.of(layout.configurationFile(of: try DiskName("a"))).mode == 0o600)
        #expect(throws: RPCError.self) { _ = try layout.claim() }
        withExtendedLifetime(lock) {}
    }

    @Test(
        "names",
        arguments: [
            ("a", true), ("A.b_c-9", true), (String(repeating: "x", count: 64), true),
            (String(repeating: "x", count: 65), false), ("", false), ("a/b", false), (".a", false), ("-a", false),
            ("_a", false), ("a b", false), ("..", false), ("é", false), ("a\n", false), ("a\0", false),
        ]
    )
    func names(text: String, isValid: Bool) {
        let name = try? DiskName(text)
        #expect((name != nil) == isValid)
    }
}
