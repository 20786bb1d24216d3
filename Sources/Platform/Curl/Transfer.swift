internal import CCurl
internal import Glibc
internal import Synchronization

/// One request on its way, and what has come back so far.
///
/// SAFETY: `@unchecked Sendable`: `perform` fills `continuation` before it hands the transfer to the loop through the
/// inbox's mutex; from then on all but `request`, `origin` and `isCancelled` belong to the loop's thread.
final class Transfer: @unchecked Sendable {
    typealias Answer = Result<HTTPResponse, CurlError>

    /// Bodies of error answers are for people; more of them is not kept.
    private static let errorBodyBytesMax = 64 << 10
    /// The most that an announced length makes us reserve before a byte of it has come.
    private static let reserveBytesMax = 32 << 20

    let request: HTTPRequest
    /// Scheme, host and port, as they stand in the URL.
    let origin: String
    /// Host and port, for people.
    let host: String
    let isWellFormed: Bool
    let isCancelled = Atomic<Bool>(false)

    var continuation: CheckedContinuation<Answer, Never>?
    var easy: EasyHandle?
    /// Whether a HEAD goes ahead, to ask for the server's challenge.
    var isAsking = false
    private(set) var overflowed = false
    private var status = 0
    private var headers: [(name: String, value: String)] = []
    private var answer: [UInt8] = []
    private var sentBytes = 0
    private var hasChangedScheme = false
    /// Whether the next try opens a connection of its own.
    private(set) var needsNewConnection: Bool

    init(_ request: HTTPRequest) {
        self.request = request
        needsNewConnection = request.neverSendTwice
        let url = request.url
        let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
        let end = url[start...].firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? url.endIndex
        origin = String(url[..<end])
        // Whatever stands before an @ may be a secret.
        let authority = url[start..<end]
        host = String(authority.split(separator: "@", omittingEmptySubsequences: false).last ?? "")
        let texts = [url, request.method] + request.headers.flatMap { [$0.name, $0.value] }
        isWellFormed =
            start > url.startIndex && !authority.contains("@")
            && !texts.contains { text in text.utf8.contains { $0 < 0x20 || $0 == 0x7F } }
    }

    /// What goes out now.
    var method: String { isAsking ? "HEAD" : request.method }
    var body: [UInt8]? { isAsking ? nil : request.body }

    var isFinished: Bool { continuation == nil }

    func finish(_ answer: Answer) {
        continuation?.resume(returning: answer)
        continuation = nil
    }

    func takeResponse(status: Int) -> HTTPResponse {
        defer { answer = [] }
        return HTTPResponse(status: status, headers: headers, body: answer)
    }

    /// Whether the scheme of authentication may be changed; once only, or two servers behind one name could keep us
    /// busy for ever.
    func mayAuthenticateAgain() -> Bool {
        defer { hasChangedScheme = true }
        return !hasChangedScheme
    }

    /// Whether the request may be sent again after kept connections turned out to be dead; once only.
    func mayConnectAfresh() -> Bool {
        defer { needsNewConnection = true }
        return !needsNewConnection
    }

    func rewind() {
        sentBytes = 0
        startAnswer(status: 0)
    }

    // MARK: libcurl's callbacks

    func seek(to offset: Int) -> Bool {
        guard let body, (0...body.count).contains(offset) else { return false }
        sentBytes = offset
        return true
    }

    func send(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let body else { return 0 }
        let count = min(buffer.count, body.count - sentBytes)
        body.withUnsafeBytes { bytes in
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[sentBytes..<sentBytes + count]))
        }
        sentBytes += count
        return count
    }

    /// - Returns: the bytes taken; fewer than given end the transfer.
    func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        if status >= 400 {
            answer.append(contentsOf: bytes.prefix(max(0, Self.errorBodyBytesMax - answer.count)))
            return bytes.count
        }
        guard answer.count + bytes.count <= request.maximumBodyBytes else {
            overflowed = true
            return 0
        }
        if answer.isEmpty, let announced = easy?.announcedBytes, announced > bytes.count {
            answer.reserveCapacity(min(announced, request.maximumBodyBytes, Self.reserveBytesMax))
        }
        answer.append(contentsOf: bytes)
        return bytes.count
    }

    func receiveHeader(_ line: UnsafeRawBufferPointer) {
        let text = String(decoding: line, as: UTF8.self)
        if text.hasPrefix("HTTP/") {
            // An answer before this one was a redirect, a challenge or a 1xx.
            let word = text.split(separator: " ", maxSplits: 2).dropFirst().first ?? ""
            startAnswer(status: Int(word.filter(\.isNumber)) ?? 0)
        } else if let colon = text.firstIndex(of: ":") {
            let value = text[text.index(after: colon)...]
            headers.append((name: String(text[..<colon]), value: trimmed(value)))
        }
    }

    private func startAnswer(status: Int) {
        self.status = status
        headers.removeAll()
        answer.removeAll()
    }

    private func trimmed(_ text: Substring) -> String {
        var text = text
        while let last = text.last, last.isWhitespace { text.removeLast() }
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return String(text)
    }
}
