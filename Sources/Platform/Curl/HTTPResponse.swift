/// What a server answered: any status, with its whole body.
package struct HTTPResponse: Sendable {
    /// 200 and so on; errors of the server are answers, not thrown.
    package let status: Int
    /// In the order in which they came, of the last answer alone (after redirects and authentication).
    package let headers: [(name: String, value: String)]
    /// Exactly as long as the server announced, where it did. Bodies of 4xx and 5xx are cut after 64 KiB.
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first header of that name, in upper or lower case, without the blanks around it.
    package func header(_ name: String) -> String? {
        headers.first { equalIgnoringCase($0.name, name) }?.value
    }
}

func equalIgnoringCase(_ left: String, _ right: String) -> Bool {
    left.utf8.elementsEqual(right.utf8) { lowercased($0) == lowercased($1) }
}

private func lowercased(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
}
