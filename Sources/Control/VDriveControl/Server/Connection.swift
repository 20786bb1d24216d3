import Linux
import Logging
import NIOCore
import ServiceLifecycle
import VDriveProtocol

/// One client: reads lines, runs their calls at the same time, and writes each answer when it is there, and events in
/// between.
struct Connection: Sendable {
    /// Calls of one connection at the same time. Long ones (a sync) must not keep a person's `status` out; a thousand
    /// connections with all places taken must not exhaust the memory.
    static let callsMax = 64
    /// Answers are gathered to writes of about this size.
    private static let writeBytes = 16 * 1024

    let channel: NIOAsyncChannel<InboundLine, ByteBuffer>
    let peer: PeerCredentials
    let table: DispatchTable
    let policy: AccessPolicy
    let unreadPatience: TimeAmount
    let logger: Logger

    /// Serves until the client has closed its side and all its calls are answered, or until it is cut off.
    func run() async {
        table.traffic.noteConnection()
        defer { table.traffic.noteDisconnection() }
        do {
            try await channel.executeThenClose { inbound, _ in
                guard policy.allows(peer) else { return try await refuse(inbound) }
                try await withGracefulShutdownHandler {
                    try await serve(inbound)
                } onGracefulShutdown: {
                    // No more lines; the calls that run are still answered.
                    channel.channel.close(mode: .input, promise: nil)
                }
            }
        } catch {
            // A client may go at any time; its calls have run to their end all the same.
            logger.debug("connection ended", metadata: ["pid": "\(peer.pid)", "reason": "\(error)"])
        }
    }

    /// How long a client that is refused may take to read why.
    private static let refusalPatience = Duration.seconds(1)

    private func refuse(_ inbound: NIOAsyncChannelInboundStream<InboundLine>) async throws {
        logger.warning("connection refused", metadata: ["uid": "\(peer.uid)", "pid": "\(peer.pid)"])
        try await write(.failure(policy.refusal))
        try await channel.channel.close(mode: .output)
        // What the client has sent already is read, and thrown away: the kernel answers a close over unread bytes with
        // a reset, which would cost the client the line.
        try await withThrowingTaskGroup(of: Void.self) { race in
            race.addTask { for try await _ in inbound {} }
            race.addTask { try await Task.sleep(for: Self.refusalPatience) }
            try await race.next()
            race.cancelAll()
        }
    }

    /// Serves calls, and sends the events that they ask for until all of them are answered.
    private func serve(_ inbound: NIOAsyncChannelInboundStream<InboundLine>) async throws {
        guard let hub = table.events else { return try await serve(inbound) { nil } }
        let outlet = EventOutlet(run: hub.run)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while let lines = await outlet.next() { try await write(buffer(of: lines)) }
            }
            // Also when a write fails: the task above must come to its end.
            defer { hub.forget(outlet) }
            try await serve(inbound) { Caller(outlet: outlet, hub: hub) }
            hub.forget(outlet)
            try await group.waitForAll()
        }
    }

    private func serve(
        _ inbound: NIOAsyncChannelInboundStream<InboundLine>,
        _ makeCaller: @Sendable @escaping () -> Caller?
    ) async throws {
        let gate = CallGate(places: Self.callsMax)
        try await withThrowingDiscardingTaskGroup { group in
            for try await line in inbound {
                guard case .line(let bytes) = line else {
                    let error = RPCError(.invalidRequest, "A line has at most \(RPCLimits.lineBytesMax) bytes.")
                    // The calls before it are still answered; the connection cannot be understood any further.
                    return try await write(.failure(error))
                }
                await gate.enter()
                group.addTask {
                    let caller = makeCaller()
                    guard let answer = await answer(bytes, from: caller) else {
                        caller?.isAnswered()
                        return gate.leave()
                    }
                    guard gate.finish(answer, to: caller) else { return }
                    do {
                        while case let finished = gate.next(), !finished.isEmpty {
                            try await write(finished) { gate.leave($0) }
                        }
                    } catch {
                        gate.close()
                        throw error
                    }
                }
            }
        }
    }

    private func answer(_ bytes: ByteBuffer, from caller: Caller?) async -> Answer? {
        do throws(RPCError) {
            switch try RPCLine(parsing: bytes.readableBytesView) {
            case .single(let call): return await table.answer(call, from: caller)
            case .batch(let calls): return await table.answer(calls, from: caller)
            }
        } catch {
            return .failure(error)
        }
    }

    /// Writes answers, several at once where they are short. Of the answers to a client that does not read, those of
    /// one write alone are in memory.
    ///
    /// - Parameter written: called with how many have gone.
    private func write(_ finished: [CallGate.Finished], _ written: (Int) -> Void) async throws {
        var rest = finished[...]
        while !rest.isEmpty {
            let before = rest
            let buffer = nextBuffer(&rest)
            try await write(buffer)
            for call in before[..<rest.startIndex] { call.caller?.isAnswered() }
            written(before.count - rest.count)
        }
    }

    private func write(_ answer: Answer) async throws { try await write(buffer(of: [answer.line])) }

    /// Waits until the kernel has taken it all. Past its patience the client is cut off.
    private func write(_ buffer: ByteBuffer) async throws {
        let channel = channel.channel
        let deadline = channel.eventLoop.scheduleTask(in: unreadPatience) { channel.close(promise: nil) }
        defer { deadline.cancel() }
        try await channel.writeAndFlush(buffer)
    }

    /// Takes answers for one write; their text is gone when it returns.
    private func nextBuffer(_ rest: inout ArraySlice<CallGate.Finished>) -> ByteBuffer {
        var lines: [String] = []
        var bytes = 0
        while bytes < Self.writeBytes, let call = rest.popFirst() {
            let line = call.answer.line
            bytes += line.utf8.count + 1
            lines.append(line)
        }
        return buffer(of: lines)
    }

    private func buffer(of lines: [String]) -> ByteBuffer {
        let bytes = lines.reduce(0) { $0 + $1.utf8.count + 1 }
        var buffer = channel.channel.allocator.buffer(capacity: bytes)
        for line in lines {
            buffer.writeString(line)
            buffer.writeInteger(UInt8(ascii: "\n"))
        }
        return buffer
    }
}
