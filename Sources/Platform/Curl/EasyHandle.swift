internal import CCurl
internal import Glibc

/// libcurl's handle for one transfer at a time. It belongs to the loop's thread, which also frees it.
final class EasyHandle {
    private static let receiveBufferBytes = 512 << 10
    private static let sendBufferBytes = 512 << 10
    private static let redirectsMax = 5
    private static let keepAliveIdleSeconds = 30
    private static let keepAliveIntervalSeconds = 10

    let raw: UnsafeMutableRawPointer
    /// Whether a transfer over this handle was answered, so that it knows what the server asks for.
    var hasAnswered = false
    /// libcurl does not copy the list; it lives until the next request over this handle.
    private var headerList: UnsafeMutablePointer<curl_slist>?
    /// Where libcurl writes the reason of a failure.
    private let reason = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    init() {
        guard let raw = curl_easy_init() else { preconditionFailure("no memory for libcurl's easy handle") }
        self.raw = raw
        reason.pointee = 0
        CCurl_setopt_pointer(raw, CURLOPT_ERRORBUFFER, reason)
        setUp()
    }

    func free() {
        curl_easy_cleanup(raw)
        curl_slist_free_all(headerList)
        headerList = nil
        reason.deallocate()
    }

    // MARK: what libcurl knows of the transfer

    /// Why the transfer failed, or "" when libcurl does not say. No URL of ours has a secret that could stand in it.
    var failureReason: String { String(cString: reason) }
    var status: Int { info(CURLINFO_RESPONSE_CODE) }
    var redirects: Int { info(CURLINFO_REDIRECT_COUNT) }
    /// The schemes of the last challenge, as bits.
    var availableSchemes: Int { info(CURLINFO_HTTPAUTH_AVAIL) }
    /// 0 when only kept connections were used.
    var newConnections: Int { info(CURLINFO_NUM_CONNECTS) }
    /// Bytes of requests that went out; 0 means that no server has seen anything.
    var requestBytes: Int { info(CURLINFO_REQUEST_SIZE) }

    /// The length that the answer announced, if it did.
    var announcedBytes: Int? {
        var bytes: curl_off_t = -1
        CCurl_getinfo_offset(raw, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &bytes)
        return bytes >= 0 ? Int(bytes) : nil
    }

    private func info(_ info: CURLINFO) -> Int {
        var value = 0
        CCurl_getinfo_long(raw, info, &value)
        return value
    }

    // MARK: options

    /// What never changes.
    private func setUp() {
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_TCP_NODELAY, 1)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_TCP_KEEPIDLE, Self.keepAliveIdleSeconds)
        set(CURLOPT_TCP_KEEPINTVL, Self.keepAliveIntervalSeconds)
        set(CURLOPT_BUFFERSIZE, Self.receiveBufferBytes)
        set(CURLOPT_UPLOAD_BUFFERSIZE, Self.sendBufferBytes)
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_2TLS))
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_MAXREDIRS, Self.redirectsMax)
        set(CURLOPT_UNRESTRICTED_AUTH, 0)
        set(CURLOPT_LOW_SPEED_LIMIT, 1)
        set(CURLOPT_USERAGENT, "vdrive")
        CCurl_setopt_write(raw, CURLOPT_WRITEFUNCTION) { bytes, size, count, user in
            guard let bytes, let user else { return 0 }
            return transfer(user).receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
        }
        CCurl_setopt_write(raw, CURLOPT_HEADERFUNCTION) { bytes, size, count, user in
            guard let bytes, let user else { return 0 }
            transfer(user).receiveHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
            return size * count
        }
        CCurl_setopt_read(raw, CURLOPT_READFUNCTION) { buffer, size, count, user in
            guard let buffer, let user else { return CCurl_abort_read }
            return transfer(user).send(into: UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
        }
        CCurl_setopt_seek(raw, CURLOPT_SEEKFUNCTION) { user, offset, origin in
            guard let user, origin == SEEK_SET else { return CURL_SEEKFUNC_CANTSEEK }
            return transfer(user).seek(to: Int(offset)) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
        }
    }

    /// What belongs to one request. Every option is set every time, because a reset would forget Digest's challenge.
    ///
    /// - Returns: false when libcurl refuses an option.
    func prepare(for transfer: Transfer, authentication: Authentication?) -> Bool {
        let request = transfer.request
        reason.pointee = 0
        let isRead = transfer.method == "GET" || transfer.method == "HEAD"
        let user = Unmanaged.passUnretained(transfer).toOpaque()
        for option in [CURLOPT_WRITEDATA, CURLOPT_HEADERDATA, CURLOPT_READDATA, CURLOPT_SEEKDATA] {
            CCurl_setopt_pointer(raw, option, user)
        }
        setMethod(transfer.method, body: transfer.body)
        setCredentials(request.credentials, authentication)
        setHeaders(request.headers)
        set(CURLOPT_CAINFO, request.caFile)
        set(CURLOPT_FOLLOWLOCATION, isRead ? 1 : 0)
        // A redirect may leave the host, but never the encryption.
        set(CURLOPT_REDIR_PROTOCOLS_STR, request.url.hasPrefix("https:") ? "https" : "http,https")
        set(CURLOPT_FRESH_CONNECT, transfer.needsNewConnection && !transfer.isAsking ? 1 : 0)
        set(CURLOPT_CONNECTTIMEOUT_MS, request.timeLimits.connectSeconds * 1000)
        set(CURLOPT_LOW_SPEED_TIME, request.timeLimits.stallSeconds)
        set(CURLOPT_TIMEOUT_MS, (request.timeLimits.totalSeconds ?? 0) * 1000)
        return set(CURLOPT_URL, request.url)
    }

    private func setMethod(_ name: String, body: [UInt8]?) {
        // HTTPGET first: it undoes what an earlier UPLOAD or NOBODY set.
        set(CURLOPT_HTTPGET, 1)
        let size = body?.count ?? -1
        CCurl_setopt_offset(raw, CURLOPT_INFILESIZE_LARGE, curl_off_t(size))
        let method: String?
        switch (name, body) {
        case ("GET", nil): method = nil
        case ("HEAD", nil):
            set(CURLOPT_NOBODY, 1)
            method = nil
        case (let other, nil): method = other
        case (let other, _):
            set(CURLOPT_UPLOAD, 1)
            method = other == "PUT" ? nil : other
        }
        set(CURLOPT_CUSTOMREQUEST, method)
    }

    private func setCredentials(_ credentials: HTTPCredentials?, _ authentication: Authentication?) {
        set(CURLOPT_USERNAME, credentials?.user)
        set(CURLOPT_PASSWORD, credentials?.password)
        switch authentication {
        case .basic: set(CURLOPT_HTTPAUTH, CCurl_auth_basic)
        case .digest: set(CURLOPT_HTTPAUTH, CCurl_auth_digest)
        // With a choice libcurl sends nothing until the server has said what it wants.
        case nil: set(CURLOPT_HTTPAUTH, CCurl_auth_basic | CCurl_auth_digest)
        }
    }

    private func setHeaders(_ headers: [(name: String, value: String)]) {
        curl_slist_free_all(headerList)
        // No 100-continue: it costs a round trip, and a second where the server does not know it.
        headerList = curl_slist_append(nil, "Expect:")
        for header in headers {
            headerList = curl_slist_append(headerList, "\(header.name): \(header.value)") ?? headerList
        }
        CCurl_setopt_list(raw, CURLOPT_HTTPHEADER, headerList)
    }

    private func set(_ option: CURLoption, _ value: Int) {
        let code = CCurl_setopt_long(raw, option, value)
        precondition(code == CURLE_OK, "libcurl refuses option \(option.rawValue) = \(value)")
    }

    @discardableResult
    private func set(_ option: CURLoption, _ value: String?) -> Bool {
        CCurl_setopt_string(raw, option, value) == CURLE_OK
    }
}

/// SAFETY: the pointer comes from `prepare`, and `LoopState.active` holds the transfer until its handle is removed.
private func transfer(_ user: UnsafeMutableRawPointer) -> Transfer {
    Unmanaged<Transfer>.fromOpaque(user).takeUnretainedValue()
}
