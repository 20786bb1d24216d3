import Testing

@testable import VDriveStore

@Suite("WebDAV's formats")
struct WebDAVFormatTests {
    private func children(_ xml: String, of folder: String) throws -> Set<StoreListing> {
        Set(WebDAVListing.children(of: try WebDAVListing.parse(Array(xml.utf8)), folder: folder))
    }

    private let expected: Set<StoreListing> = [
        StoreListing(name: "a b&c", isFolder: false, length: 12),
        StoreListing(name: "sub", isFolder: true, length: nil),
    ]

    @Test("a listing with prefixes, absolute paths, entities and properties that were not found")
    func prefixes() throws {
        let xml = """
            <?xml version="1.0"?><!-- a comment --><D:multistatus xmlns:D="DAV:" xmlns:ns0='x>y'>
            <D:response><D:href>/dav/x/</D:href><D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype>
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
            <D:response><D:href>/dav/x/a%20b&amp;c</D:href><D:propstat><D:prop><lp1:resourcetype/>
            <lp1:getcontentlength>12</lp1:getcontentlength><D:owner><D:href>/users/1</D:href></D:owner></D:prop>
            <D:status>HTTP/1.1 200 OK</D:status></D:propstat>
            <D:propstat><D:prop><D:getcontentlength>99</D:getcontentlength></D:prop>
            <D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>
            <D:response><D:href>/dav/x/sub/</D:href><D:propstat><D:prop><D:resourcetype>
            <D:collection /></D:resourcetype>
            </D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>
            """
        #expect(try children(xml, of: "/dav/x") == expected)
    }

    @Test("a listing without prefixes, with whole URLs, and another path for the folder")
    func wholeURLs() throws {
        let xml = """
            <multistatus xmlns="DAV:"><response><href>http://inner:80/y</href><propstat><prop><resourcetype>
            <collection/>
            </resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response>
            <response><href><![CDATA[http://inner:80/y/a%20b&c]]></href><propstat><prop><resourcetype></resourcetype>
            <getcontentlength> 12 </getcontentlength></prop><status>HTTP/1.1 200</status></propstat></response>
            <response><href>http://inner:80/y/sub</href><propstat><prop><resourcetype>
            <collection/></resourcetype></prop>
            <status>HTTP/1.1 200 OK</status></propstat></response>
            <response><href>http://inner:80/y/sub/deep</href><propstat><prop/>
            <status>HTTP/1.1 200 OK</status></propstat>
            </response></multistatus>
            """
        #expect(try children(xml, of: "/dav/x") == expected)
    }

    @Test("a quota")
    func quota() throws {
        let xml = """
            <d:multistatus xmlns:d="DAV:"><d:response><d:href>/</d:href><d:propstat><d:prop><d:quota-available-bytes>\
            75000000000</d:quota-available-bytes><d:quota-used-bytes>-3</d:quota-used-bytes></d:prop>\
            <d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>
            """
        let entry = try #require(try WebDAVListing.parse(Array(xml.utf8)).first)
        #expect(entry.quotaAvailable == 75_000_000_000)
        #expect(entry.quotaUsed == nil)
    }

    @Test(
        "what is not a listing",
        arguments: [
            "", "hello", "<html><body>Login</body></html>", "<multistatus>", "<multistatus></other>",
            "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><multistatus>&a;</multistatus>", "<multistatus>&nope;</multistatus>",
            "<multistatus x=\"", "<multistatus><>", "</multistatus>", "<multistatus>&#xD800;</multistatus>",
            String(repeating: "<a>", count: 100_000),
        ]
    )
    func malformed(_ xml: String) {
        let error = #expect(throws: StoreError.self) { try WebDAVListing.parse(Array(xml.utf8)) }
        #expect(error?.kind == .invalid)
    }

    @Test("Content-Range")
    func contentRange() {
        #expect(ContentRange("bytes 0-99/1234")?.bytes == 0..<100)
        #expect(ContentRange("bytes 5-5/*")?.bytes == 5..<6)
        for bad in ["", "bytes */1234", "bytes 9-5/20", "bytes 0-99/50", "items 0-1/2", "bytes -5-1/9", "bytes 0-1"] {
            #expect(ContentRange(bad) == nil, "\(bad)")
        }
    }

    @Test("Retry-After")
    func retryAfter() {
        #expect(RetryAfter.seconds("120", now: 0) == 120)
        #expect(RetryAfter.seconds("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_700) == 77)
        #expect(RetryAfter.seconds("Thu, 29 Feb 2024 12:00:00 GMT", now: 1_709_208_000) == 0)
        #expect(RetryAfter.seconds("Sun, 06 Nov 1994 08:49:37 GMT", now: 784_111_800) == 0)
        for bad in ["", "-1", "soon", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET"] {
            #expect(RetryAfter.seconds(bad, now: 0) == nil, "\(bad)")
        }
    }
}
