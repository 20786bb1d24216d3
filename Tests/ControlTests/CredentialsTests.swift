import Glibc
import Linux
import Testing
import VDriveProtocol
import VDriveStore

@testable import VDriveControl

@Suite("credentials")
struct CredentialsTests {
    private let user = geteuid()

    @Test("a private file is read")
    func reads() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'p'\nca-file = '/ca.pem'\n", to: "c")
        let file = try Credentials(from: .file(path), daemonUser: user)
        #expect(file.username == "u")
        let credentials = try file.credentials(for: try StoreURL("webdavs://h/p"))
        #expect(credentials == StoreCredentials(username: "u", password: "p", caFile: "/ca.pem"))
    }

    @Test("a file that others can read is refused", arguments: [0o640, 0o604, 0o644, 0o666, 0o620, 0o602, 0o700])
    func checksMode(mode: mode_t) throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'topsecret'\n", to: "c", mode: mode)
        let error = #expect(throws: RPCError.self) { try Credentials(from: .file(path), daemonUser: user) }
        #expect(error?.message.contains("chmod 600") == true)
        #expect(error?.message.contains("topsecret") == false)
    }

    @Test("somebody else's file is refused")
    func checksOwner() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("username = 'u'\npassword = 'p'\n", to: "c")
        guard chown(path, 12345, 0) == 0 else { return }
        #expect(throws: RPCError.self) { try Credentials(from: .file(path), daemonUser: 54321) }
        _ = try Credentials(from: .file(path), daemonUser: 12345)
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
        let error = #expect(throws: RPCError.self) { try Credentials(from: .file(path), daemonUser: user) }
        #expect(error?.code == .fixConfiguration)
        #expect(error?.message.contains("topsecret") == false, "\(error?.message ?? "")")
    }

    @Test("folders, pipes, relative paths and missing files are refused")
    func refusesOthers() throws {
        let folder = try ScratchFolder()
        let pipe = "\(folder.path)/pipe"
        try #require(mkfifo(pipe, 0o600) == 0)
        for path in [folder.path, pipe, "\(folder.path)/none"] {
            #expect(throws: RPCError.self) { try Credentials(from: .file(path), daemonUser: user) }
        }
    }

    @Test("keys of another kind of remote are refused")
    func refusesKeys() throws {
        let file = try Credentials(text: "access-key = 'a'\nsecret-key = 'topsecret'", path: "c")
        let error = #expect(throws: RPCError.self) { try file.credentials(for: try StoreURL("webdav://h/p")) }
        #expect(error?.message.contains("topsecret") == false)
    }

    @Test("descriptions show nothing")
    func hides() throws {
        let file = try Credentials(text: "username = 'u'\npassword = 'topsecret'", path: "c")
        #expect(!"\(file) \(String(reflecting: file))".contains("topsecret"))
    }

    // MARK: From elsewhere

    private static let text = "username = 'u'\npassword = 'topsecret'\n"

    @Test(
        "references are read and written alike",
        arguments: ["/a b/c", "credential:nas.Toml-1@x", "env:_A9", "env:NAS"]
    )
    func references(text: String) throws {
        #expect(try CredentialsSource(text)?.description == text)
    }

    @Test(
        "a reference that leads elsewhere is refused",
        arguments: [
            "", "relative", "./a", "credential:", "credential:../shadow", "credential:a/b", "credential:..",
            "credential:.hidden", "credential:a\0b", "credential:ä", "credential:\(String(repeating: "x", count: 256))",
            "env:", "env:A=B", "env:9A", "env:A-B", "env:A B", "Credential:a", "file:/etc/nas",
        ]
    )
    func badReferences(text: String) {
        let error = #expect(throws: RPCError.self) { try CredentialsSource(text) }
        #expect(error?.code == .fixConfiguration)
        #expect(error?.message.hasSuffix(".") == true)
    }

    @Test("none is none")
    func none() throws {
        #expect(try CredentialsSource("none") == nil)
    }

    @Test("an environment variable holds the text of a file")
    func environment() throws {
        func read(_ value: String?) throws -> Credentials {
            try Credentials(from: .environment("NAS"), daemonUser: user) { $0 == "NAS" ? value : nil }
        }
        #expect(try read(Self.text).username == "u")
        let missing = #expect(throws: RPCError.self) { _ = try read(nil) }
        #expect(missing?.code == .fixConfiguration)
        #expect(missing?.message.contains("no environment variable NAS") == true, "\(missing?.message ?? "")")
        for broken in ["topsecret", "password = 'topsecret'", "[topsecret]\n", String(repeating: "#", count: 70_000)] {
            let error = #expect(throws: RPCError.self) { _ = try read(broken) }
            #expect(error?.code == .fixConfiguration)
            #expect(error?.message.contains("env:NAS") == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("topsecret") == false, "\(error?.message ?? "")")
        }
    }

    @Test("what systemd passes is read, with the modes that it gives", arguments: [0o400, 0o440])
    func systemd(mode: mode_t) throws {
        let folder = try ScratchFolder()
        _ = try folder.write(Self.text, to: "nas", mode: mode)
        let credentials = try Credentials(from: .systemd("nas"), daemonUser: user) {
            $0 == "CREDENTIALS_DIRECTORY" ? folder.path : nil
        }
        #expect(credentials.password == "topsecret")
    }

    @Test("what systemd did not pass, or cannot have made, is refused, with what to do")
    func badSystemd() throws {
        let folder = try ScratchFolder()
        for (name, mode) in [("open", 0o444), ("writable", 0o600), ("group", 0o460)] as [(String, mode_t)] {
            _ = try folder.write(Self.text, to: name, mode: mode)
        }
        for (name, directory, sentence) in [
            ("open", folder.path, "can be read by others"), ("writable", folder.path, "let systemd make"),
            ("group", folder.path, "can be read by others"), ("none", folder.path, "add LoadCredential=none:FILE"),
            ("nas", nil, "add LoadCredential=nas:FILE"), ("nas", "relative", "add LoadCredential=nas:FILE"),
        ] as [(String, String?, String)] {
            let error = #expect(throws: RPCError.self) {
                try Credentials(from: .systemd(name), daemonUser: user) { _ in directory }
            }
            #expect(error?.code == .fixConfiguration)
            #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("topsecret") == false)
        }
    }
}
