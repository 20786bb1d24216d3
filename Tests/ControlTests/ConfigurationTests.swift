import Glibc
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
            credentialsFile: "/etc/vdrive/films.credentials"
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
        bare.credentialsFile = nil
        bare.mountPoint = nil
        bare.filesystem = nil
        bare.isAttachedAtStart = false
        #expect(try DiskConfiguration(text: bare.text, path: "/x/films.toml") == bare)
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

@Suite("credentials")
struct CredentialsTests {
    private let user = geteuid()

    @Test("a private file is read")
    func reads() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'p'\nca-file = '/ca.pem'\n", to: "c")
        let file = try CredentialsFile(path: path, daemonUser: user)
        #expect(file.username == "u")
        let credentials = try file.credentials(for: try StoreURL("webdavs://h/p"))
        #expect(credentials == StoreCredentials(username: "u", password: "p", caFile: "/ca.pem"))
    }

    @Test("a file that others can read is refused", arguments: [0o640, 0o604, 0o644, 0o666, 0o620, 0o602, 0o700])
    func checksMode(mode: mode_t) throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'topsecret'\n", to: "c", mode: mode)
        let error = #expect(throws: RPCError.self) { try CredentialsFile(path: path, daemonUser: user) }
        #expect(error?.message.contains("chmod 600") == true)
        #expect(error?.message.contains("topsecret") == false)
    }

    @Test("somebody else's file is refused")
    func checksOwner() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'p'\n", to: "c")
        guard chown(path, 12345, 0) == 0 else { return }
        #expect(throws: RPCError.self) { try CredentialsFile(path: path, daemonUser: 54321) }
        _ = try CredentialsFile(path: path, daemonUser: 12345)
    }

    @Test(
        "what is no credentials file is refused, and no error repeats a secret",
        arguments: [
            "password = topsecret", "username = 'u'", "password = 'topsecret'", "topsecret = 'x'",
            "username = 1\npassword = 2",
            "[topsecret]\na = 1", "access-key = 'topsecret'", "session-token = 'topsecret'", "\u{0}topsecret",
            "username = 'u'\npassword = 'topsecret'\nca-file = 'relative'", "username = 'u'\npassword = 'topsecret",
        ]
    )
    func refuses(text: String) throws {
        let folder = try ScratchFolder()
        let path = try folder.write(text, to: "c")
        let error = #expect(throws: RPCError.self) { try CredentialsFile(path: path, daemonUser: user) }
        #expect(error?.code == .fixConfiguration)
        #expect(error?.message.contains("topsecret") == false, "\(error?.message ?? "")")
    }

    @Test("folders, pipes, relative paths and missing files are refused")
    func refusesOthers() throws {
        let folder = try ScratchFolder()
        let pipe = "\(folder.path)/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        for path in [folder.path, pipe, "relative", "\(folder.path)/none"] {
            #expect(throws: RPCError.self) { try CredentialsFile(path: path, daemonUser: user) }
        }
    }

    @Test("keys of another kind of remote are refused")
    func refusesKeys() throws {
        let file = try CredentialsFile(text: "access-key = 'a'\nsecret-key = 'topsecret'", path: "c")
        let error = #expect(throws: RPCError.self) { try file.credentials(for: try StoreURL("webdav://h/p")) }
        #expect(error?.message.contains("topsecret") == false)
    }

    @Test("descriptions show nothing")
    func hides() throws {
        let file = try CredentialsFile(text: "username = 'u'\npassword = 'topsecret'", path: "c")
        #expect(!"\(file) \(String(reflecting: file))".contains("topsecret"))
    }
}
