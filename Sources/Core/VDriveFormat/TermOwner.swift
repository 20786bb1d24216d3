/// Who claimed a term: written inside (or beside) the claim by the winner, and read back by it.
package struct TermOwner: Hashable, Sendable {
    package var host: String
    package var pid: UInt64
    /// Random, one a state directory: the same holder may go on after a crash without asking anybody.
    package var holder: String
    /// The kernel's boot id, so that a pid of before a reboot is not taken for a living one.
    package var bootID: String
    /// Random: tells two claims of the same process apart.
    package var nonce: String
    /// Seconds since 1970, by the owner's clock.
    package var since: UInt64
    package var softwareVersion: String

    package static let formatVersion: UInt64 = 1
    private static let format = "vdrive term owner"

    package init(
        host: String,
        holder: String,
        pid: UInt64,
        bootID: String,
        nonce: String,
        since: UInt64,
        softwareVersion: String
    ) {
        self.host = host
        self.holder = holder
        self.pid = pid
        self.bootID = bootID
        self.nonce = nonce
        self.since = since
        self.softwareVersion = softwareVersion
    }

    package func encode() -> [UInt8] {
        FlatJSON.encode([
            ("format", .text(Self.format)),
            ("formatVersion", .number(Self.formatVersion)),
            ("host", .text(host)),
            ("holder", .text(holder)),
            ("pid", .number(pid)),
            ("bootID", .text(bootID)),
            ("nonce", .text(nonce)),
            ("since", .number(since)),
            ("softwareVersion", .text(softwareVersion)),
        ])
    }

    package static func decode(_ bytes: [UInt8]) throws(FormatError) -> TermOwner {
        let part = FormatPart.termOwner
        let members = try FlatJSON.decode(bytes, part: part, format: format, formatVersion: formatVersion)
        return TermOwner(
            host: try members.text("host", part: part),
            holder: try members.text("holder", part: part),
            pid: try members.number("pid", part: part),
            bootID: try members.text("bootID", part: part),
            nonce: try members.text("nonce", part: part),
            since: try members.number("since", part: part),
            softwareVersion: try members.text("softwareVersion", part: part)
        )
    }
}
