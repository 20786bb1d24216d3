internal import CCurl
internal import DequeModule
internal import Synchronization

/// All that the loop's thread knows: which transfers wait, which are under way, and which handles are idle.
///
/// Notes on the design
///
/// - Admission is done here and not by libcurl's connection limits, because the time limits of a transfer that libcurl
///   holds back run while it waits.
/// - Idle easy handles are kept per origin and account, since a handle remembers the server's Digest challenge: the
///   next request over it authenticates at once. A handle whose transfer failed is thrown away.
/// - The scheme of authentication is learned per origin and account. While it is unknown libcurl asks first
///   (one 401); afterwards the header goes out with the first try. Basic is sent to nobody who has not asked for it.
/// - A request that must not be sent twice cannot begin with a challenge, which is a first sending. Over a handle that
///   has no challenge yet a HEAD of the same URL goes ahead and asks for it.
/// - A server that closes many idle connections at once leaves dead ones here, which libcurl does not recognise when
///   the farewell of TLS is still unread. It tries five of them and gives up; the request then gets a new connection.
struct LoopState {
    /// A server, seen through one account.
    private struct Peer: Hashable {
        var origin: String
        var credentials: HTTPCredentials?
    }

    private let multi: UnsafeMutableRawPointer
    private let limits: ConnectionLimits
    private var waiting: Deque<Transfer> = []
    private var active: [UnsafeMutableRawPointer: Transfer] = [:]
    private var activePerOrigin: [String: Int] = [:]
    private var idle: [Peer: [EasyHandle]] = [:]
    private var learned: [Peer: Authentication] = [:]

    init(multi: UnsafeMutableRawPointer, limits: ConnectionLimits) {
        self.multi = multi
        self.limits = limits
    }

    mutating func add(_ transfers: [Transfer]) {
        waiting.append(contentsOf: transfers)
        startWaiting()
    }

    mutating func cancel(_ transfer: Transfer) {
        guard !transfer.isFinished else { return }
        if let easy = transfer.easy {
            let mayHaveArrived = easy.requestBytes > 0 && !transfer.isAsking
            release(transfer, keepingHandle: false)
            transfer.finish(.failure(.cancelled(mayHaveArrived: mayHaveArrived)))
            startWaiting()
        } else if let position = waiting.firstIndex(where: { $0 === transfer }) {
            waiting.remove(at: position)
            transfer.finish(.failure(.cancelled(mayHaveArrived: false)))
        }
        // Otherwise it was cancelled before it was submitted: startWaiting() sees the flag.
    }

    mutating func close(alsoFailing added: [Transfer]) {
        for transfer in active.values {
            release(transfer, keepingHandle: false)
            transfer.finish(.failure(.loopClosed))
        }
        for transfer in Array(waiting) + added { transfer.finish(.failure(.loopClosed)) }
        waiting.removeAll()
        for handle in idle.values.joined() { handle.free() }
        idle.removeAll()
    }

    /// Resumes what libcurl has ended, and starts as many of those who wait.
    mutating func finishCompleted() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let raw = message.pointee.easy_handle,
                let transfer = active[raw]
            else { continue }
            // The message dies with the removal of its handle.
            complete(transfer, CCurl_message_result(message))
        }
        startWaiting()
    }

    private mutating func complete(_ transfer: Transfer, _ code: CURLcode) {
        guard let easy = transfer.easy else { return }
        let mayHaveArrived = easy.requestBytes > 0 && !transfer.isAsking
        if code == CURLE_SEND_ERROR, easy.newConnections == 0, transfer.mayConnectAfresh() {
            release(transfer, keepingHandle: true)
            transfer.rewind()
            waiting.prepend(transfer)
            return
        }
        guard code == CURLE_OK else {
            let reason = easy.failureReason
            release(transfer, keepingHandle: false)
            transfer.finish(
                .failure(
                    transfer.overflowed
                        ? CurlError(
                            .bodyTooLarge,
                            "\(transfer.host): the answer is longer than \(transfer.request.maximumBodyBytes) bytes",
                            mayHaveArrived: true
                        )
                        : CurlError(code, reason: reason, host: transfer.host, mayHaveArrived: mayHaveArrived)
                )
            )
            return
        }
        let status = easy.status
        let isMistaken = easy.redirects == 0 && learn(from: easy, status: status, for: transfer)
        easy.hasAnswered = true
        release(transfer, keepingHandle: true)
        if isMistaken || transfer.isAsking {
            transfer.isAsking = false
            transfer.rewind()
            waiting.prepend(transfer)
        } else {
            transfer.finish(.success(transfer.takeResponse(status: status)))
        }
    }

    /// Remembers the scheme that the server asked for.
    ///
    /// - Returns: whether the request went out with a scheme that the server no longer takes, so that it is to be sent
    ///   again.
    private mutating func learn(from easy: EasyHandle, status: Int, for transfer: Transfer) -> Bool {
        guard transfer.request.credentials != nil, let asked = Authentication(available: easy.availableSchemes) else {
            return false
        }
        let peer = peer(of: transfer)
        let known = learned.updateValue(asked, forKey: peer)
        guard status == 401, let known, known != asked else { return false }
        return transfer.mayAuthenticateAgain()
    }

    private mutating func startWaiting() {
        var position = waiting.startIndex
        while active.count < limits.total, position < waiting.endIndex {
            let transfer = waiting[position]
            guard activePerOrigin[transfer.origin, default: 0] < limits.perHost else {
                position += 1
                continue
            }
            waiting.remove(at: position)
            start(transfer)
        }
    }

    private mutating func start(_ transfer: Transfer) {
        if transfer.isCancelled.load(ordering: .acquiring) {
            transfer.finish(.failure(.cancelled(mayHaveArrived: false)))
            return
        }
        let peer = peer(of: transfer)
        let handle = idle[peer]?.popLast() ?? EasyHandle()
        transfer.isAsking =
            transfer.request.neverSendTwice && peer.credentials != nil && learned[peer] != .basic && !handle.hasAnswered
        guard transfer.isWellFormed, handle.prepare(for: transfer, authentication: learned[peer]) else {
            handle.free()
            let error = CurlError(.invalid, "\(transfer.host): not a request for libcurl.", mayHaveArrived: false)
            transfer.finish(.failure(error))
            return
        }
        transfer.easy = handle
        active[handle.raw] = transfer
        activePerOrigin[transfer.origin, default: 0] += 1
        let code = curl_multi_add_handle(multi, handle.raw)
        precondition(code == CURLM_OK, "libcurl takes no more handles: \(code)")
    }

    private mutating func release(_ transfer: Transfer, keepingHandle: Bool) {
        guard let easy = transfer.easy else { return }
        curl_multi_remove_handle(multi, easy.raw)
        active[easy.raw] = nil
        activePerOrigin[transfer.origin, default: 1] -= 1
        transfer.easy = nil
        let peer = peer(of: transfer)
        if keepingHandle, idle[peer, default: []].count < limits.perHost {
            idle[peer, default: []].append(easy)
        } else {
            easy.free()
        }
    }

    private func peer(of transfer: Transfer) -> Peer {
        Peer(origin: transfer.origin, credentials: transfer.request.credentials)
    }
}

/// A scheme that a server asked for.
enum Authentication {
    case basic
    case digest

    /// The better one of those that a 401 offered; nil when there was none.
    init?(available schemes: Int) {
        if schemes & CCurl_auth_digest != 0 {
            self = .digest
        } else if schemes & CCurl_auth_basic != 0 {
            self = .basic
        } else {
            return nil
        }
    }
}
