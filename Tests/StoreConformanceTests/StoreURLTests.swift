import Testing
import VDriveStore

@Suite("remote URLs")
struct StoreURLTests {
    @Test(
        "are read",
        arguments: [
            ("file:///srv/disk", "", nil, "/srv/disk", "file:///srv/disk"),
            ("file://localhost/srv//disk/", "", nil, "/srv/disk", "file:///srv/disk"),
            ("file:///a%20b/50%25", "", nil, "/a b/50%", "file:///a%20b/50%25"),
            ("webdav://example.org", "example.org", nil, "/", "webdav://example.org/"),
            ("WebDAVs://Example.org:8443/dav/", "example.org", 8443, "/dav", "webdavs://example.org:8443/dav"),
            ("webdav://[::1]:80/x", "[::1]", 80, "/x", "webdav://[::1]:80/x"),
            ("webdav://10.0.0.1/ü", "10.0.0.1", nil, "/ü", "webdav://10.0.0.1/%C3%BC"),
        ] as [(String, String, UInt16?, String, String)]
    )
    func good(_ text: String, host: String, port: UInt16?, path: String, redacted: String) throws {
        let url = try StoreURL(text)
        #expect(url.host == host)
        #expect(url.port == port)
        #expect(url.path == path)
        #expect(url.redacted == redacted)
        #expect(try StoreURL(url.redacted) == url)
    }

    @Test(
        "are refused with a sentence",
        arguments: [
            ("s3://bucket/x", "not supported yet"), ("sftp://host/x", "not supported yet"),
            ("ftp://host/x", "not supported yet"), ("gopher://host/x", "no kind of remote"),
            ("https://host/x", "webdavs://"), ("webdav:///x", "no host"), ("webdavs://:80/x", "no host"),
            ("webdav://host:0/x", "port"), ("webdav://host:99999/x", "port"), ("webdav://host:+80/x", "port"),
            ("webdav://ho st/x", "host"), ("webdav://user:geheim@host/x", "no user or password"),
            ("file://relative/path", "three slashes"), ("file://", "three slashes"), ("/srv/disk", "file:///srv/disk"),
            ("disk", "is a URL"), ("", "is a URL"), ("webdav://host/a/../b", ".."), ("webdav://host/x?y", "query"),
            ("webdav://host/50%", "%25"), ("webdav://host/%zz", "%25"), ("file:///a%00b", "without them"),
        ]
    )
    func bad(_ text: String, sentence: String) {
        let error = #expect(throws: StoreError.self) { try StoreURL(text) }
        #expect(error?.kind == .invalid)
        #expect(error?.message.contains(sentence) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("geheim") == false)
    }

    @Test(
        "the place beside a remote",
        arguments: [
            ("file:///srv/disk", "file:///srv/new"), ("webdav://host:81/disk/", "webdav://host:81/new"),
            ("webdavs://[::1]:8443/a%20b/c/disk", "webdavs://[::1]:8443/a%20b/c/new"), ("webdav://host/", nil),
            ("file:///", nil),
        ] as [(String, String?)]
    )
    func sibling(_ text: String, other: String?) throws {
        #expect(try StoreURL(text).sibling("new")?.redacted == other)
    }

    @Test("credentials are never shown")
    func secrets() {
        let credentials = StoreCredentials(username: "anna", password: "geheim", caFile: "/ca.pem")
        for text in ["\(credentials)", String(reflecting: credentials), "\([credentials])"] {
            #expect(!text.contains("geheim"))
        }
    }
}
